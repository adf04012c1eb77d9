// The sales of this till, newest first, each with how far it has come.

import { clockTime, count, dayName, money, startOfDay } from '../money.ts';
import { h, keyed, part, setText } from '../parts/dom.ts';
import { type SaleRow, type Session, salesShown } from '../session.ts';
import { openReceipt } from './receipt.ts';
import type { Screen } from './shell.ts';

type Entry = { readonly kind: 'day'; readonly day: string; readonly name: string } | { readonly kind: 'sale'; readonly sale: SaleRow };

export function salesScreen(session: Session): Screen {
  const list = h('ul', { class: 'sales', 'aria-label': 'Sales' });
  const empty = h('p', { class: 'empty', hidden: true }, 'No sales yet. The first one appears here at once, saved on this till.');
  const more = h('p', { class: 'footnote', hidden: true }, `The newest ${salesShown} sales are shown. Older ones stay in the books.`);
  const renderEntries = keyed<Entry>(list, {
    key: (entry) => (entry.kind === 'day' ? `day ${entry.day}` : entry.sale.sale),
    make: (entry) => (entry.kind === 'day' ? h('li', { class: 'day' }, h('h2', {})) : makeSale(session, entry.sale.sale)),
    update: (element, entry) => {
      if (entry.kind === 'sale') updateSale(element, entry.sale, session.committedSeq.value);
      else if (element.firstElementChild !== null) setText(element.firstElementChild, entry.name);
    },
  });
  const render = (): void => {
    const sales = session.sales.value;
    renderEntries(byDay(sales ?? []));
    empty.hidden = sales === undefined || sales.length > 0;
    more.hidden = (sales?.length ?? 0) < salesShown;
  };
  session.sales.subscribe(render);
  session.committedSeq.subscribe(render);
  const element = h(
    'section',
    { class: 'page', 'aria-label': 'Sales' },
    h('h1', { class: 'page-title' }, 'Sales of this till'),
    list,
    empty,
    more,
  );
  return { id: 'sales', label: 'Sales', icon: 'sales', element, onShow: render };
}

function byDay(sales: readonly SaleRow[]): readonly Entry[] {
  const entries: Entry[] = [];
  const now = Date.now();
  let day = '';
  for (const sale of sales) {
    const key = String(startOfDay(sale.at));
    // A clock that was put back must not make the same heading twice.
    if (key !== day && !entries.some((entry) => entry.kind === 'day' && entry.day === key)) {
      entries.push({ kind: 'day', day: key, name: dayName(sale.at, now) });
    }
    day = key;
    entries.push({ kind: 'sale', sale });
  }
  return entries;
}

function makeSale(session: Session, id: string): HTMLElement {
  const open = (): void => {
    const sale = session.sales.value?.find((row) => row.sale === id);
    if (sale !== undefined) void openReceipt(session, sale, 'later');
  };
  return h(
    'li',
    {},
    h(
      'button',
      { type: 'button', class: 'sale', onclick: open },
      h('span', { class: 'sale-number', 'data-part': 'number' }),
      h('span', { class: 'sale-what', 'data-part': 'what' }),
      h('span', { class: 'sale-undone', 'data-part': 'undone', hidden: true }, 'undone'),
      h('span', { class: 'sale-state', 'data-part': 'state' }),
      h('span', { class: 'sale-total', 'data-part': 'total' }),
    ),
  );
}

function updateSale(element: HTMLElement, sale: SaleRow, committedSeq: number): void {
  const state = part(element, 'state');
  const how = sale.seq <= committedSeq ? 'committed' : 'saved';
  setText(part(element, 'number'), String(sale.number));
  setText(part(element, 'what'), `${clockTime(sale.at)} · ${count(sale.items, 'item')} · ${sale.payment}`);
  setText(state, how);
  state.dataset.state = how;
  setText(part(element, 'total'), money(sale.totalCents));
  part(element, 'undone').hidden = sale.isVoided === 0;
  element.classList.toggle('is-undone', sale.isVoided !== 0);
}
