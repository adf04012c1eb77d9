// One sale, as the customer and the books see it. Opened after paying and from the list; the place where a sale is undone.

import { moment, money } from '../money.ts';
import { button, note, openDialog } from '../parts/dialog.ts';
import { h, icon, setText } from '../parts/dom.ts';
import type { SaleRow, Session } from '../session.ts';
import { sayError } from '../words.ts';

export async function openReceipt(session: Session, sale: SaleRow, when: 'new' | 'later'): Promise<void> {
  const lines = await session.linesOf(sale.sale);
  const state = h('p', { class: 'receipt-state', role: 'status' });
  const undo = button('Undo this sale', () => askUndo(session, sale, () => dialog.close()), 'quiet');
  const stops: (() => void)[] = [];
  const now = (): SaleRow => session.sales.value?.find((row) => row.sale === sale.sale) ?? sale;
  const renderState = (): void => {
    const row = now();
    const how = row.seq <= session.committedSeq.value ? 'committed' : 'saved';
    setText(state, row.isVoided === 0 ? how : `undone · ${how}`);
    state.dataset.state = how;
    undo.hidden = row.isVoided !== 0;
  };
  const change = sale.receivedCents - sale.totalCents;
  const dialog = openDialog({
    title: when === 'new' ? 'Sold' : `Sale ${sale.number}`,
    class: 'receipt-dialog',
    body: [
      when === 'new' && change > 0 ? h('p', { class: 'receipt-change' }, h('span', {}, 'Change'), h('strong', {}, money(change))) : '',
      h(
        'div',
        { class: 'receipt' },
        h('p', { class: 'receipt-shop' }, session.shopName),
        h('p', { class: 'receipt-place' }, `${session.tillName} · sale ${sale.number}`),
        h('p', { class: 'receipt-place' }, moment(sale.at)),
        h(
          'table',
          {},
          h('thead', { class: 'unseen' }, h('tr', {}, h('th', {}, 'Product'), h('th', {}, 'Amount'))),
          h(
            'tbody',
            {},
            ...lines.map((line) =>
              h(
                'tr',
                {},
                h('td', {}, line.qty === 1 ? line.name : `${line.qty} × ${line.name}`),
                h('td', {}, money(line.qty * line.cents)),
              ),
            ),
          ),
          h(
            'tfoot',
            {},
            h('tr', { class: 'receipt-total' }, h('th', { scope: 'row' }, 'Total'), h('td', {}, money(sale.totalCents))),
            h('tr', {}, h('th', { scope: 'row' }, sale.payment === 'cash' ? 'Cash' : 'Card'), h('td', {}, money(sale.receivedCents))),
            change > 0 && h('tr', {}, h('th', { scope: 'row' }, 'Change'), h('td', {}, money(change))),
          ),
        ),
      ),
      state,
    ],
    actions: [button(when === 'new' ? 'Next sale' : 'Close', () => dialog.close(), 'primary'), button('Print', () => print()), undo],
    onClose: () => {
      for (const stop of stops) stop();
    },
  });
  if (when === 'new') dialog.element.querySelector('.dialog-title')?.prepend(icon('check'));
  stops.push(session.sales.subscribe(renderState), session.committedSeq.subscribe(renderState));
}

function askUndo(session: Session, sale: SaleRow, undone: () => void): void {
  const yes = async (): Promise<void> => {
    dialog.close();
    try {
      await session.voidSale(sale.sale);
      undone();
      note('news', `Sale ${sale.number} is undone`, `Give back ${money(sale.totalCents)}.`);
    } catch (error) {
      const { title, todo } = sayError(error);
      note('trouble', title, todo);
    }
  };
  const dialog = openDialog({
    title: `Undo sale ${sale.number}?`,
    body: [h('p', {}, `It stays in the books, marked as undone, and no longer counts. Give the customer ${money(sale.totalCents)} back.`)],
    actions: [button('Undo the sale', () => void yes(), 'danger'), button('Keep it', () => dialog.close())],
  });
}
