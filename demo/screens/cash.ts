// Taking cash: what the customer hands over, and what goes back.

import { money, parseMoney, typedMoney } from '../money.ts';
import { button, openDialog } from '../parts/dialog.ts';
import { field, h, setText } from '../parts/dom.ts';

/** Notes and round sums people pay with, in cents. */
const rounds = [500, 1000, 2000, 5000, 10_000];
const quickMax = 4;

/** Calls back with the cents received: at least `totalCents`. */
export function askCash(totalCents: number, received: (cents: number) => void): void {
  const take = (cents: number): void => {
    dialog.close();
    received(cents);
  };
  const typed = field('Another amount', { inputmode: 'decimal', autocomplete: 'off', placeholder: typedMoney(totalCents) });
  const change = h('p', { class: 'change', 'aria-live': 'polite' });
  const done = h('button', { type: 'submit', class: 'button button-primary', disabled: true }, 'Take it');
  typed.input.addEventListener('input', () => {
    const cents = parseMoney(typed.input.value);
    done.disabled = cents === undefined || cents < totalCents;
    setText(
      change,
      cents === undefined ? '' : cents < totalCents ? `${money(totalCents - cents)} are missing` : `Change ${money(cents - totalCents)}`,
    );
  });
  const form = h('form', { class: 'cash-typed' }, typed.box, done);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const cents = parseMoney(typed.input.value);
    if (cents !== undefined && cents >= totalCents) take(cents);
  });
  const dialog = openDialog({
    title: `Cash for ${money(totalCents)}`,
    body: [
      h(
        'div',
        { class: 'cash-quick' },
        button('Exact amount', () => take(totalCents), 'primary'),
        ...quickSums(totalCents).map((cents) => button(money(cents), () => take(cents))),
      ),
      form,
      change,
    ],
  });
}

/** The next round sums above the total. */
function quickSums(totalCents: number): readonly number[] {
  const sums = rounds.map((round) => Math.ceil(totalCents / round) * round).filter((sum) => sum > totalCents);
  return [...new Set(sums)].sort((a, b) => a - b).slice(0, quickMax);
}
