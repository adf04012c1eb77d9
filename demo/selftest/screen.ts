// The page of the self-test: one line per check, a verdict above them, and what can be done next below. Built once, then kept in step.

import { copyText } from '../parts/clipboard.ts';
import { button, note } from '../parts/dialog.ts';
import { h, keyed, part, setAttribute, setText } from '../parts/dom.ts';
import { type Check, type CheckState, type Report, type Verdict, verdictOf } from './report.ts';

export interface Actions {
  start(): void;
  reload(): void;
  removeAll(): void;
}

export interface Screen {
  show(report: Report): void;
}

const verdictWords: Readonly<Record<Verdict, readonly [title: string, todo: string]>> = {
  new: ['Does this device keep what is saved?', 'Takes a few seconds and about 10 MB for a moment. Nothing leaves this device.'],
  running: ['Testing …', 'Keep this page in front.'],
  reload: [
    'Now reload',
    'Or close the browser, even switch the device off and on, then open this address again: what was saved must be there.',
  ],
  passed: ['Passed', 'What was saved is there. Reload as often as you like: it is checked again each time.'],
  failed: ['Failed', 'What is marked so below says what was found. Send the results to whoever asked you for them.'],
};

const stateWords: Readonly<Record<CheckState, string>> = {
  waiting: 'Waiting',
  running: 'Running',
  passed: 'Passed',
  failed: 'Failed',
  'not run': 'Not run',
};

export function makeScreen(app: HTMLElement, actions: Actions): Screen {
  let report: Report | undefined;
  const title = h('h1', {});
  const todo = h('p', { class: 'lead' });
  const verdict = h('div', { class: 'verdict', role: 'status' }, title, todo);
  const list = h('ol', { class: 'checks', 'aria-label': 'Checks' });
  const start = button('Start the test', actions.start, 'primary');
  const reload = button('Reload now', actions.reload, 'primary');
  const copy = button('Copy results', () => void copyText(exported(), shown), 'primary');
  const download = button('Download JSON', () => saveFile(exported()));
  const again = button('Test again', actions.start);
  const remove = button('Remove test data', actions.removeAll, 'danger');
  const shown = h('pre', { class: 'results' });
  const results = h('details', {}, h('summary', {}, 'Results as text'), shown);
  const about = h('p', { class: 'footnote' });
  const exported = (): string => JSON.stringify(report, null, 2);
  const showChecks = keyed<Check>(list, { key: (check) => check.id, make: makeCheck, update: updateCheck });
  app.replaceChildren(h('main', { class: 'selftest' }, verdict, start, reload, list, copy, download, again, remove, results, about));

  return {
    show(next) {
      report = next;
      const now = verdictOf(next);
      const [words, what] = verdictWords[now];
      setAttribute(verdict, 'data-verdict', now);
      setText(title, words);
      setText(todo, what);
      showChecks(next.checks);
      setText(shown, exported());
      setText(about, `${next.browser.userAgent} · screen ${next.browser.screen} · ${next.browser.cores} cores`);
      const isOver = now === 'passed' || now === 'failed';
      start.hidden = now !== 'new';
      reload.hidden = now !== 'reload';
      for (const one of [copy, download, results]) one.hidden = now === 'new' || now === 'running';
      for (const one of [again, remove]) one.hidden = !isOver && now !== 'reload';
    },
  };
}

export const sayTrouble = (what: string, words: string): void => note('trouble', what, words);

function makeCheck(check: Check): HTMLElement {
  return h(
    'li',
    { class: 'check-line', 'data-check': check.id },
    h('h2', { class: 'check-title' }, check.title),
    h('span', { class: 'check-state', 'data-part': 'state' }),
    h('p', { class: 'check-words', 'data-part': 'words' }),
  );
}

function updateCheck(element: HTMLElement, check: Check): void {
  setAttribute(element, 'data-state', check.state);
  setText(part(element, 'state'), stateWords[check.state]);
  setText(part(element, 'words'), check.words);
}

function saveFile(text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  h('a', { href: url, download: 'foldlog-selftest.json' }).click();
  // The download has taken its own reference by the next turn.
  setTimeout(() => URL.revokeObjectURL(url));
}
