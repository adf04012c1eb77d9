// The basket: lines with steppers, the total, and the two ways to pay.

import type { BasketLine, CurrentBasket } from '../basket.ts';
import { money } from '../money.ts';
import { h, icon, keyed, part, setText } from '../parts/dom.ts';
import type { Session } from '../session.ts';
import type { Payment } from '../shop.ts';
import { askCash } from './cash.ts';
import { openReceipt } from './receipt.ts';
import { troubleBox } from './start.ts';

export function basketPanel(session: Session, basket: CurrentBasket, close: () => void): HTMLElement {
  const list = h('ul', { class: 'lines', 'aria-label': 'Basket' });
  const empty = h('p', { class: 'empty' }, 'Tap a product to begin a sale.');
  const total = h('strong', { 'aria-live': 'polite' });
  const clear = h('button', { type: 'button', class: 'button button-link', onclick: () => basket.clear() }, 'Empty');
  const cash = h(
    'button',
    {
      type: 'button',
      class: 'button button-primary button-pay',
      onclick: () => askCash(basket.totalCents, (received) => void pay('cash', received)),
    },
    'Cash',
  );
  const card = h(
    'button',
    { type: 'button', class: 'button button-primary button-pay', onclick: () => void pay('card', basket.totalCents) },
    'Card',
  );
  const trouble = h('div', { class: 'basket-trouble', role: 'alert' });
  let isPaying = false;

  const pay = async (payment: Payment, receivedCents: number): Promise<void> => {
    if (isPaying) return;
    isPaying = true;
    trouble.replaceChildren();
    showButtons();
    try {
      const sale = await session.sell(basket.value, { sale: basket.sale, payment, totalCents: basket.totalCents, receivedCents });
      basket.clear();
      close();
      await openReceipt(session, sale, 'new');
    } catch (error) {
      trouble.replaceChildren(troubleBox(error));
    } finally {
      isPaying = false;
      showButtons();
    }
  };
  const showButtons = (): void => {
    const isOff = isPaying || basket.value.length === 0;
    for (const one of [cash, card]) one.disabled = isOff;
    clear.hidden = isOff;
  };
  const renderLines = keyed<BasketLine>(list, { key: ({ sku }) => sku, make: ({ sku }) => makeLine(basket, sku), update: updateLine });
  basket.subscribe((lines) => {
    renderLines(lines);
    empty.hidden = lines.length > 0;
    trouble.replaceChildren();
    setText(total, money(basket.totalCents));
    showButtons();
  });

  return h(
    'aside',
    { class: 'basket', 'aria-label': 'Basket' },
    h(
      'header',
      { class: 'basket-head' },
      h(
        'button',
        { type: 'button', class: 'button icon-button basket-back', 'aria-label': 'Back to the products', onclick: close },
        icon('back'),
      ),
      h('h2', { 'data-part': 'title', tabindex: -1 }, 'Basket'),
      clear,
    ),
    h('div', { class: 'basket-body' }, list, empty),
    h(
      'footer',
      { class: 'basket-foot' },
      trouble,
      h('p', { class: 'total' }, h('span', {}, 'Total'), total),
      h('div', { class: 'pay' }, cash, card),
    ),
  );
}

function makeLine(basket: CurrentBasket, sku: string): HTMLElement {
  const step = (by: number): void => basket.setQty(sku, (basket.value.find((line) => line.sku === sku)?.qty ?? 0) + by);
  return h(
    'li',
    { class: 'line' },
    h(
      'div',
      { class: 'line-what' },
      h('span', { class: 'line-name', 'data-part': 'name' }),
      h('span', { class: 'line-each', 'data-part': 'each' }),
    ),
    h(
      'div',
      { class: 'stepper' },
      h('button', { type: 'button', class: 'button icon-button', 'data-part': 'less', onclick: () => step(-1) }, icon('minus')),
      h('output', { 'data-part': 'qty' }),
      h('button', { type: 'button', class: 'button icon-button', 'data-part': 'more', onclick: () => step(1) }, icon('plus')),
    ),
    h('span', { class: 'line-sum', 'data-part': 'sum' }),
  );
}

function updateLine(element: HTMLElement, line: BasketLine): void {
  setText(part(element, 'name'), line.name);
  setText(part(element, 'each'), `${money(line.cents)} each`);
  setText(part(element, 'qty'), String(line.qty));
  setText(part(element, 'sum'), money(line.qty * line.cents));
  part(element, 'less').setAttribute('aria-label', line.qty === 1 ? `Take out ${line.name}` : `One less: ${line.name}`);
  part(element, 'more').setAttribute('aria-label', `One more: ${line.name}`);
}
