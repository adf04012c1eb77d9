// The page of the till: opens the store, lets a first start happen, then runs the screens. Each way this can fail ends on a screen that
// says what to do.

import { FoldlogError } from 'foldlog';
import { note } from './parts/dialog.ts';
import { h } from './parts/dom.ts';
import { salesScreen } from './screens/sales.ts';
import { sellScreen } from './screens/sell.ts';
import { showShell } from './screens/shell.ts';
import { details, firstStart, invitePrefix } from './screens/start.ts';
import { tillsScreen } from './screens/tills.ts';
import { openStore, Session } from './session.ts';
import { sayError } from './words.ts';

const app = document.querySelector<HTMLElement>('#app');
if (app === null) throw new Error('the page has no #app');

addEventListener('unhandledrejection', (event) => {
  const { title, todo } = sayError(event.reason);
  note('trouble', title, todo);
});
// Not under the development server, whose files have no release.
if (import.meta.hot === undefined && 'serviceWorker' in navigator) {
  // Without it the till still runs; it only cannot be reloaded offline.
  navigator.serviceWorker.register('/sw.js').catch(() => undefined);
}
void run(app);

async function run(app: HTMLElement): Promise<void> {
  try {
    const ws = await openStore();
    const { workspace } = await ws.status();
    const link = location.hash.includes(invitePrefix) ? location.hash.slice(1) : undefined;
    // A device that lost the relay in the middle of joining is in the store without a name: it joins again.
    if (workspace === undefined || workspace.device === '') await firstStart(app, ws, link);
    else if (link !== undefined)
      note('trouble', `This till belongs to ${workspace.name} already`, 'Open the link on the device that is to join.');
    // An invite is a secret: it does not stay in the address bar or the history.
    if (link !== undefined) history.replaceState(null, '', location.pathname);
    const session = await Session.start(ws);
    showShell(app, session, [sellScreen(session), salesScreen(session), tillsScreen(session)]);
  } catch (error) {
    showFailure(app, error);
  }
}

function showFailure(app: HTMLElement, error: unknown): void {
  const said = sayError(error);
  app.replaceChildren(
    h(
      'main',
      { class: 'start', role: 'alert' },
      h(
        'div',
        { class: 'start-card' },
        h('h1', {}, said.title),
        h('p', { class: 'lead' }, said.todo),
        h('button', { type: 'button', class: 'button button-primary button-wide', onclick: () => location.reload() }, 'Try again'),
        details(said.detail),
      ),
    ),
  );
  // The other tab was closed, and this one comes to the front: that is the wish to go on here.
  if (!(error instanceof FoldlogError) || error.kind !== 'locked') return;
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && location.reload());
}
