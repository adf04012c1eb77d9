// Building and updating elements. Text goes in as text nodes, never as markup.

type Child = Node | string | number | undefined | false;
type Props = Readonly<Record<string, string | number | boolean | undefined | ((event: never) => void)>>;

/** An element. A function under `onclick` and the like becomes a listener; `true` and `false` set and leave out an attribute. */
export function h<Tag extends keyof HTMLElementTagNameMap>(tag: Tag, props: Props = {}, ...children: Child[]): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener);
    else setAttribute(element, name, value);
  }
  element.append(
    ...children.filter((child) => child !== undefined && child !== false).map((child) => (child instanceof Node ? child : `${child}`)),
  );
  return element;
}

export function setAttribute(element: Element, name: string, value: string | number | boolean | undefined): void {
  if (value === undefined || value === false) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? '' : String(value));
}

/** Sets text only when it differs, so that a live region speaks only of news. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

export interface KeyedView<Row> {
  key(row: Row): string;
  make(row: Row): HTMLElement;
  update(element: HTMLElement, row: Row): void;
}

/** Keeps the children of `parent` in step with rows; an element stays the same while its key does, and so does its focus. */
export function keyed<Row>(parent: Element, view: KeyedView<Row>): (rows: readonly Row[]) => void {
  const elements = new Map<string, HTMLElement>();
  return (rows) => {
    const keys = new Set(rows.map(view.key));
    for (const [key, element] of elements) {
      if (keys.has(key)) continue;
      element.remove();
      elements.delete(key);
    }
    let before: Element | null = parent.firstElementChild;
    for (const row of rows) {
      const key = view.key(row);
      let element = elements.get(key);
      if (element === undefined) {
        element = view.make(row);
        elements.set(key, element);
      }
      view.update(element, row);
      if (element === before) before = before.nextElementSibling;
      else parent.insertBefore(element, before);
    }
  };
}

/** Finds a part of an element by its `data-part`. */
export function part(element: Element, name: string): HTMLElement {
  const found = element.querySelector<HTMLElement>(`[data-part="${name}"]`);
  if (found === null) throw new Error(`no part ${name} in <${element.localName}>`);
  return found;
}

const icons = {
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M15.3 15.3 20 20',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  close: 'M6 6l12 12M18 6 6 18',
  sell: 'M5 8h14l-1 12H6L5 8M9 11V7a3 3 0 0 1 6 0v4',
  sales: 'M6 3h12v18l-3-2-3 2-3-2-3 2V3M9 8h6M9 12h6',
  tills: 'M4 5h16v11H4V5M9 20h6M12 16v4',
  edit: 'M5 19l1-4L16 5l3 3L9 18l-4 1',
  check: 'M5 13l4 4L19 7',
  back: 'M14 6l-6 6 6 6',
  chevron: 'M10 6l6 6-6 6',
} as const;

export type IconName = keyof typeof icons;

export function icon(name: IconName): SVGSVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', icons[name]);
  svg.append(path);
  return svg;
}

let lastId = 0;

/** A labelled input with its hint, and a place for what is wrong with it. */
export function field(label: string, props: Props, hint?: string): { readonly box: HTMLElement; readonly input: HTMLInputElement } {
  const id = `field-${++lastId}`;
  const input = h('input', { id, class: 'input', 'aria-describedby': hint === undefined ? undefined : `${id}-hint`, ...props });
  const box = h(
    'div',
    { class: 'field' },
    h('label', { for: id, class: 'field-label' }, label),
    input,
    hint !== undefined && h('p', { id: `${id}-hint`, class: 'field-hint' }, hint),
  );
  return { box, input };
}
