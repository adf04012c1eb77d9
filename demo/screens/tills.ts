// The shop's tills: this one and those it follows, with their takings today, and the way in for another device.

import { clockTime, count, money } from '../money.ts';
import { copyText } from '../parts/clipboard.ts';
import { button, openDialog } from '../parts/dialog.ts';
import { h, keyed, part, setText } from '../parts/dom.ts';
import { latestOnly } from '../parts/store.ts';
import type { Session, TillTakings } from '../session.ts';
import { sayError } from '../words.ts';
import type { Screen } from './shell.ts';
import { troubleBox } from './start.ts';

export function tillsScreen(session: Session): Screen {
  const list = h('ul', { class: 'tills', 'aria-label': 'Tills' });
  const sum = h('p', { class: 'tills-sum' });
  const trouble = h('div', {});
  const alone = h(
    'p',
    { class: 'footnote', hidden: true },
    'This is the only till so far. Another device joins by a link and sells on its own, offline too.',
  );
  const renderTills = keyed<TillTakings>(list, { key: ({ shard }) => shard, make: makeTill, update: updateTill });
  const element = h(
    'section',
    { class: 'page', 'aria-label': 'Tills', hidden: true },
    h(
      'div',
      { class: 'page-head' },
      h('h1', { class: 'page-title' }, 'Tills'),
      session.isOwner && button('Add a device', () => openInvite(session), 'primary'),
    ),
    sum,
    list,
    alone,
    trouble,
  );
  const refresh = latestOnly(async () => {
    try {
      const tills = await session.allTills();
      renderTills(tills);
      alone.hidden = tills.length !== 1 || !session.isOwner;
      const total = tills.reduce((cents, till) => cents + till.totalCents, 0);
      sum.replaceChildren('Today, all tills ', h('strong', {}, money(total)));
      trouble.replaceChildren();
    } catch (error) {
      trouble.replaceChildren(troubleBox(error));
    }
  });
  const refreshShown = (): void => {
    if (!element.hidden) void refresh();
  };
  session.engine.subscribe(refreshShown);
  session.sales.subscribe(refreshShown);
  return { id: 'tills', label: 'Tills', icon: 'tills', element, onShow: refreshShown };
}

function makeTill(): HTMLElement {
  return h(
    'li',
    { class: 'till' },
    h(
      'div',
      { class: 'till-who' },
      h('h2', { 'data-part': 'name' }),
      h('span', { class: 'till-this', 'data-part': 'this', hidden: true }, 'this till'),
    ),
    h('p', { class: 'till-sales', 'data-part': 'sales' }),
    h('strong', { class: 'till-total', 'data-part': 'total' }),
    h('p', { class: 'till-trouble', 'data-part': 'trouble', hidden: true }),
  );
}

function updateTill(element: HTMLElement, till: TillTakings): void {
  setText(part(element, 'name'), till.name);
  part(element, 'this').hidden = !till.isThis;
  const last = till.lastAt === undefined ? 'no sales today' : `${count(till.sales, 'sale')} today, last at ${clockTime(till.lastAt)}`;
  setText(part(element, 'sales'), last);
  setText(part(element, 'total'), money(till.totalCents));
  part(element, 'trouble').hidden = till.stopped === undefined;
  if (till.stopped !== undefined) setText(part(element, 'trouble'), `Not up to date: ${sayError(till.stopped).title.toLowerCase()}`);
}

function openInvite(session: Session): void {
  const body = h('div', { class: 'invite', role: 'status' }, h('p', {}, 'Making a link…'));
  openDialog({ title: 'Add a device', body: [body] });
  session.inviteLink().then(
    (link) => body.replaceChildren(...inviteParts(link)),
    (error: unknown) => body.replaceChildren(troubleBox(error)),
  );
}

function inviteParts(link: string): readonly HTMLElement[] {
  const shown = h('input', {
    class: 'input',
    readonly: true,
    value: link,
    'aria-label': 'Link for the other device',
    onclick: () => shown.select(),
  });
  const share = { title: 'Join the shop', url: link };
  return [
    h('p', {}, 'Open this link on the other device. It lets one device in and works for 24 hours.'),
    shown,
    h(
      'div',
      { class: 'dialog-actions' },
      button('Copy the link', () => void copyText(link, shown), 'primary'),
      ...(navigator.canShare?.(share) ? [button('Share…', () => void navigator.share(share).catch(() => undefined))] : []),
    ),
    h('p', { class: 'footnote' }, 'Whoever has the link can join your shop: send it only to the person who will use it.'),
  ];
}
