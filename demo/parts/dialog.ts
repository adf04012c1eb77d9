// Dialogs and passing notes. A dialog is the browser's own <dialog>: it keeps the focus inside, closes on Escape and gives the focus back.

import { h, icon } from './dom.ts';

export interface DialogSpec {
  readonly title: string;
  readonly body: readonly (Node | string)[];
  /** Shown below the body; the first is the one to take. */
  readonly actions?: readonly HTMLElement[];
  /** Without a close button and not closed by Escape: the person must choose. */
  readonly isFirm?: boolean;
  readonly class?: string;
  readonly onClose?: () => void;
}

export interface OpenDialog {
  readonly element: HTMLDialogElement;
  close(): void;
}

export function openDialog(spec: DialogSpec): OpenDialog {
  const isFirm = spec.isFirm ?? false;
  const title = h('h2', { class: 'dialog-title', tabindex: -1 }, spec.title);
  const element = h(
    'dialog',
    { class: `dialog ${spec.class ?? ''}`, 'aria-label': spec.title },
    h(
      'header',
      { class: 'dialog-head' },
      title,
      !isFirm &&
        h('button', { type: 'button', class: 'button icon-button', 'aria-label': 'Close', onclick: () => element.close() }, icon('close')),
    ),
    h('div', { class: 'dialog-body' }, ...spec.body),
    spec.actions !== undefined && h('footer', { class: 'dialog-actions' }, ...spec.actions),
  );
  if (isFirm) element.addEventListener('cancel', (event) => event.preventDefault());
  else {
    element.addEventListener('click', (event) => {
      if (event.target === element) element.close();
    });
  }
  element.addEventListener('close', () => {
    element.remove();
    spec.onClose?.();
  });
  document.body.append(element);
  element.showModal();
  // The browser would focus the close button; begin with what the dialog is about instead.
  if (!element.contains(document.activeElement) || document.activeElement?.classList.contains('icon-button')) title.focus();
  return { element, close: () => element.close() };
}

export function button(label: string, onclick: () => void, kind: 'primary' | 'plain' | 'danger' | 'quiet' = 'plain'): HTMLButtonElement {
  return h('button', { type: 'button', class: `button button-${kind}`, onclick }, label);
}

/** Long enough to read twice. */
const noteMs = 6_000;

/** A line that passes by at the lower edge. `trouble` interrupts a screen reader, `news` waits its turn. */
export function note(kind: 'news' | 'trouble', text: string, todo?: string): void {
  // An open dialog covers all else and silences it; the note goes where it can be seen and heard.
  const place = [...document.querySelectorAll('dialog[open]')].at(-1) ?? document.body;
  document.querySelector('.notes')?.remove();
  const area = h('div', { class: 'notes' });
  place.append(area);
  const dismiss = (): void => area.remove();
  const element = h(
    'div',
    { class: `note note-${kind}`, role: kind === 'news' ? 'status' : 'alert' },
    h('div', { class: 'note-text' }, h('strong', {}, text), todo !== undefined && h('span', {}, todo)),
    h('button', { type: 'button', class: 'button icon-button', 'aria-label': 'Dismiss', onclick: dismiss }, icon('close')),
  );
  area.append(element);
  if (kind === 'news') setTimeout(dismiss, noteMs);
}
