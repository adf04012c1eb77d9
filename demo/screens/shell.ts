// The frame around the screens: names, today's takings, the state of syncing, and the way from one screen to another.

import type { EngineStatus } from 'foldlog';
import { clockTime, count, money } from '../money.ts';
import { button, note, openDialog } from '../parts/dialog.ts';
import { h, type IconName, icon, setText } from '../parts/dom.ts';
import type { Session } from '../session.ts';
import { isPassing, sayError } from '../words.ts';

export interface Screen {
  readonly id: string;
  readonly label: string;
  readonly icon: IconName;
  readonly element: HTMLElement;
  /** Called each time the screen comes to the front. */
  readonly onShow?: () => void;
}

/** A state that lasts shorter than this is not worth a screen reader's breath. */
const quietMs = 400;

export function showShell(app: HTMLElement, session: Session, screens: readonly Screen[]): void {
  const tabs = screens.map((screen) =>
    h('button', { type: 'button', class: 'tab', onclick: () => select(screen) }, icon(screen.icon), h('span', {}, screen.label)),
  );
  const select = (chosen: Screen): void => {
    for (const [i, screen] of screens.entries()) {
      screen.element.hidden = screen !== chosen;
      if (screen === chosen) tabs[i]?.setAttribute('aria-current', 'page');
      else tabs[i]?.removeAttribute('aria-current');
    }
    chosen.onShow?.();
  };

  app.replaceChildren(
    h(
      'div',
      { class: 'shell' },
      h('header', { class: 'top' }, h('h1', {}, session.shopName), h('p', {}, session.tillName)),
      takings(session),
      syncLine(session),
      h('nav', { class: 'tabs', 'aria-label': 'Screens' }, ...tabs),
      h('main', { class: 'screens' }, ...screens.map(({ element }) => element)),
    ),
  );
  session.trouble.subscribe((error) => {
    if (error === undefined) return;
    const { title, todo } = sayError(error);
    note('trouble', title, todo);
  });
  document.title = `${session.shopName} · Till`;
  const [first] = screens;
  if (first !== undefined) select(first);
}

function takings(session: Session): HTMLElement {
  const sum = h('strong', {});
  const sales = h('span', {});
  session.today.subscribe((today) => {
    setText(sum, money(today.totalCents));
    setText(sales, `${count(today.sales, 'sale')} today`);
  });
  return h('div', { class: 'today' }, sum, sales);
}

function syncLine(session: Session): HTMLElement {
  const text = h('span', { class: 'sync-text' });
  const spoken = h('span', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
  const line = h(
    'div',
    { class: 'sync' },
    h(
      'button',
      { type: 'button', class: 'sync-button', onclick: () => openState(session) },
      h('span', { class: 'sync-dot' }),
      h('span', { class: 'unseen' }, 'State of syncing: '),
      text,
      icon('chevron'),
    ),
    spoken,
  );
  let timer: ReturnType<typeof setTimeout> | undefined;
  session.sync.subscribe((words) => {
    setText(text, words.text);
    line.dataset.tone = words.tone;
    clearTimeout(timer);
    timer = setTimeout(() => setText(spoken, words.text), quietMs);
  });
  return line;
}

function openState(session: Session): void {
  const list = h('dl', { class: 'facts' });
  const troubles = h('div', {});
  const stop = session.engine.subscribe((status) => {
    list.replaceChildren(...factsOf(session, status).flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)]));
    troubles.replaceChildren(...troublesOf(status).map((trouble) => h('p', { class: 'detail' }, trouble)));
  });
  const dialog = openDialog({
    title: 'Syncing',
    body: [
      h('p', {}, 'Saved: on this device, survives a crash. Committed: at the shop’s relay too, survives the loss of this device.'),
      list,
      troubles,
    ],
    actions: [button('Sync now', () => session.syncNow(), 'primary'), button('Close', () => dialog.close())],
    onClose: stop,
  });
}

function factsOf(session: Session, status: EngineStatus): readonly (readonly [string, string])[] {
  const groups = status.own.reduce((sum, { pending }) => sum + pending.groups, 0);
  const bytes = status.own.reduce((sum, { pending }) => sum + pending.bytes, 0);
  const retryAt = status.own.flatMap(({ retryAtMs }) => (retryAtMs === undefined ? [] : [retryAtMs])).sort()[0];
  return [
    ['State', session.sync.value.text],
    ['Relay', linkWords(status)],
    ['Waiting', groups === 0 ? 'nothing' : `${count(groups, 'group')}, ${count(Math.ceil(bytes / 1024), 'kilobyte')}`],
    ...(retryAt === undefined ? [] : [['Next try', clockTime(retryAt)] as const]),
    ['Storage', status.durability === 'durable' ? `on this device (${status.backend})` : `only until this page closes (${status.backend})`],
    ['Key', status.key === 'sealed' ? 'sealed in this browser' : 'held in software'],
    ['Following', count(status.followed.length, 'shard')],
  ];
}

function linkWords(status: EngineStatus): string {
  switch (status.link.kind) {
    case 'online':
      return 'reached';
    case 'offline':
      return 'not reached';
    case 'refused':
      return sayError(status.link.error).title;
    case 'none':
      return 'not asked yet';
  }
}

function troublesOf(status: EngineStatus): readonly string[] {
  const stopped = status.own.flatMap(({ push }) => (push.kind === 'stopped' ? [push.error.message] : []));
  const followed = status.followed.flatMap(({ stopped }) => (stopped === undefined || isPassing(stopped) ? [] : [stopped.message]));
  const refused = status.link.kind === 'refused' && !isPassing(status.link.error) ? [status.link.error.message] : [];
  return [...new Set([...refused, ...stopped, ...followed, ...status.troubles])];
}
