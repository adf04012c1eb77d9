// The self-test page: begins, goes on after a reload with what it remembers, or says that everything is gone.

import { type Report, verdictOf, withCheck } from './report.ts';
import { blankReport, runUntilReload, verifyKept } from './run.ts';
import { makeScreen, sayTrouble } from './screen.ts';
import { forgetAll, remember, remembered } from './stored.ts';

const app = document.querySelector<HTMLElement>('#app');
if (app === null) throw new Error('the page has no #app');
const view = makeScreen(app, {
  start: () => void orSay('The test could not begin', start),
  reload: () => location.reload(),
  removeAll: () => void orSay('Not everything could be removed', removeAll),
});
void orSay('The test could not go on', goOn);

async function goOn(): Promise<void> {
  const kept = remembered();
  if (kept.kind === 'none') return view.show(blankReport());
  if (kept.kind === 'forgotten') return view.show(forgottenReport());
  // Nothing was saved, so there is nothing to look for: the findings are shown again.
  if (kept.report.savedOps === 0) return view.show(kept.report);
  const report = await verifyKept(kept.report, view.show);
  remember(report);
  view.show(report);
}

function forgottenReport(): Report {
  const blank = blankReport();
  const checks = blank.checks.map((check) => ({ ...check, state: 'not run' as const }));
  return withCheck({ ...blank, checks }, 'reload', 'failed', 'All that this page had saved is gone: this browser keeps nothing here.');
}

async function start(): Promise<void> {
  await forgetAll();
  // Remembered before it is shown: a person may reload as soon as the page asks for it.
  await runUntilReload((report) => {
    if (verdictOf(report) !== 'running') remember(report);
    view.show(report);
  });
}

async function removeAll(): Promise<void> {
  await forgetAll();
  view.show(blankReport());
}

async function orSay(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    sayTrouble(what, error instanceof Error ? error.message : String(error));
  }
}
