// Selling: the shelves on one side, the basket on the other. On a phone the basket opens over the shelves.

import { CurrentBasket } from '../basket.ts';
import { count, money } from '../money.ts';
import { note } from '../parts/dialog.ts';
import { h, icon, keyed, part, setText } from '../parts/dom.ts';
import type { Session } from '../session.ts';
import { linesMax, type Product } from '../shop.ts';
import { basketPanel } from './basket-panel.ts';
import { openProducts } from './products.ts';
import type { Screen } from './shell.ts';

/** Tints a shelf can have; see screens.css. */
const tints = 7;

export function sellScreen(session: Session): Screen {
  const basket = new CurrentBasket();
  const shelves = shelvesOf(session, basket);
  const panel = basketPanel(session, basket, () => setOpen(false));
  const total = h('strong', {});
  const items = h('span', {});
  const bar = h(
    'button',
    { type: 'button', class: 'button button-primary basket-bar', onclick: () => setOpen(true) },
    icon('sell'),
    items,
    total,
  );
  const element = h('section', { class: 'sell', 'aria-label': 'Sell' }, shelves, panel, bar);

  const setOpen = (isOpen: boolean): void => {
    element.classList.toggle('is-basket-open', isOpen);
    shelves.inert = isOpen;
    if (isOpen) part(panel, 'title').focus();
    else if (document.activeElement === document.body) bar.focus();
  };
  element.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') setOpen(false);
  });
  // Wide screens show both sides: what the phone's sheet switched off comes back.
  matchMedia('(min-width: 45rem)').addEventListener('change', (wide) => wide.matches && setOpen(false));

  basket.subscribe((lines) => {
    bar.hidden = lines.length === 0;
    if (lines.length === 0) setOpen(false);
    setText(items, count(basket.items, 'item'));
    setText(total, money(basket.totalCents));
  });
  session.products.subscribe((products) => products !== undefined && basket.reprice(products));
  return { id: 'sell', label: 'Sell', icon: 'sell', element };
}

function shelvesOf(session: Session, basket: CurrentBasket): HTMLElement {
  const search = h('input', {
    type: 'search',
    class: 'input search-input',
    placeholder: 'Search products',
    'aria-label': 'Search products',
    autocomplete: 'off',
    enterkeyhint: 'search',
  });
  const chips = h('div', { class: 'chips', role: 'group', 'aria-label': 'Shelves' });
  const grid = h('ul', { class: 'products', 'aria-label': 'Products' });
  const empty = h('p', { class: 'empty', hidden: true });
  let shelf: string | undefined;
  let shown: readonly Product[] = [];

  const render = (): void => {
    const products = session.products.value;
    const shelfNames = [...new Set((products ?? []).map(({ category }) => category))].sort((a, b) => a.localeCompare(b));
    if (shelf !== undefined && !shelfNames.includes(shelf)) shelf = undefined;
    renderChips([undefined, ...shelfNames]);
    const words = folded(search.value).split(/\s+/).filter(Boolean);
    shown = (products ?? []).filter((product) => {
      const text = folded(`${product.name} ${product.category} ${product.sku}`);
      return (shelf === undefined || product.category === shelf) && words.every((word) => text.includes(word));
    });
    renderProducts(shown.map((product) => ({ ...product, tint: shelfNames.indexOf(product.category) % tints })));
    empty.hidden = shown.length > 0;
    setText(empty, emptyWords(session, search.value));
  };
  const renderChips = keyed<string | undefined>(chips, {
    key: (name) => name ?? '',
    make: (name) =>
      h(
        'button',
        {
          type: 'button',
          class: 'chip',
          onclick: () => {
            shelf = name;
            render();
          },
        },
        name ?? 'All',
      ),
    update: (chip, name) => chip.setAttribute('aria-pressed', String(shelf === name)),
  });
  const renderProducts = keyed<Product & { readonly tint: number }>(grid, {
    key: ({ sku }) => sku,
    make: ({ sku }) => {
      const add = (): void => {
        const product = session.products.value?.find((one) => one.sku === sku);
        if (product !== undefined && !basket.add(product))
          note('trouble', `A sale has at most ${linesMax} lines`, 'Finish this one and begin another.');
      };
      return h(
        'li',
        {},
        h(
          'button',
          { type: 'button', class: 'product', onclick: add },
          h('span', { class: 'product-name', 'data-part': 'name' }),
          h('span', { class: 'product-price', 'data-part': 'price' }),
          h('span', { class: 'product-count', 'data-part': 'count', hidden: true }),
        ),
      );
    },
    update: (element, product) => {
      setText(part(element, 'name'), product.name);
      setText(part(element, 'price'), money(product.cents));
      element.className = `tint-${product.tint}`;
      element.dataset.sku = product.sku;
      showCount(element, basket.value.find(({ sku }) => sku === product.sku)?.qty ?? 0);
    },
  });
  const showCount = (element: HTMLElement, qty: number): void => {
    const badge = part(element, 'count');
    badge.hidden = qty === 0;
    badge.replaceChildren(h('span', {}, qty), h('span', { class: 'unseen' }, ' in the basket'));
  };

  search.addEventListener('input', render);
  // A keyboard or a barcode reader ends with Enter: one match is meant.
  search.addEventListener('keydown', (event) => {
    const [only, ...others] = shown;
    if (event.key !== 'Enter' || only === undefined || others.length > 0) return;
    basket.add(only);
    search.value = '';
    render();
  });
  session.products.subscribe(render);
  basket.subscribe((lines) => {
    const qtys = new Map(lines.map(({ sku, qty }) => [sku, qty]));
    for (const element of grid.children) {
      if (element instanceof HTMLElement) showCount(element, qtys.get(element.dataset.sku ?? '') ?? 0);
    }
  });

  return h(
    'div',
    { class: 'shelves' },
    h(
      'div',
      { class: 'shelves-head' },
      h('div', { class: 'search' }, icon('search'), search),
      session.isOwner &&
        h(
          'button',
          { type: 'button', class: 'button button-plain', onclick: () => openProducts(session) },
          icon('edit'),
          h('span', { class: 'wide-text' }, 'Products'),
        ),
      chips,
    ),
    h('div', { class: 'shelves-body' }, grid, empty),
  );
}

function emptyWords(session: Session, typed: string): string {
  if (session.products.value !== undefined && session.products.value.length > 0) return `Nothing is called “${typed.trim()}” here.`;
  return session.isOwner
    ? 'The shelves are empty. Add a product to sell it.'
    : 'Waiting for the shop’s price list. It comes with the first sync.';
}

/** Without case and accents, so that `creme` finds `Crème`. */
const folded = (text: string): string => text.normalize('NFD').replaceAll(/\p{M}/gu, '').toLowerCase();
