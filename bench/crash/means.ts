// How a page that saves is brought to its end, and what each way is worth. All of them leave the operating system running: its page cache survives
// every one, and none is a power cut (docs/durability.md, "Crash gate").
import type { Page } from 'playwright';

export const allMeans = ['browser-kill', 'browser-stop', 'renderer-kill', 'page-crash', 'tab-close', 'worker-terminate'] as const;
export type Means = (typeof allMeans)[number];

/** What is left of the browser afterwards. */
export type Remains = 'nothing' | 'browser' | 'page';

/** The processes of one browser. */
export interface Processes {
  all(): readonly number[];
  renderers(): readonly number[];
}

/** SIGSTOP holds a browser this long before SIGKILL takes it: long enough that whatever was running stands still in the middle of it. */
const stopMs = 60;

export async function bringToEnd(means: Means, page: Page, processes: Processes): Promise<Remains> {
  switch (means) {
    // Every process of the browser at once: nothing gets to finish, flush or say goodbye.
    case 'browser-kill':
      killAll(processes);
      return 'nothing';
    // The same to a browser that was frozen first, as a system does under memory pressure or before it sleeps.
    case 'browser-stop':
      signal(processes.all(), 'SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, stopMs));
      killAll(processes);
      return 'nothing';
    // The process that holds page and worker dies alone, as an out-of-memory killer does it; the browser lives and keeps locks and quota.
    case 'renderer-kill': {
      const crashed = page.waitForEvent('crash');
      const renderers = processes.renderers(); // the browser's spare one as well: nothing tells them apart from outside
      signal(renderers, 'SIGKILL');
      await crashed;
      await page.close();
      // Reaped means that the browser has noticed; until then it may put the next page into a dead spare one, which never answers.
      while (renderers.some(isThere)) await new Promise((resolve) => setTimeout(resolve, 5));
      return 'browser';
    }
    // The renderer crashes by its own hand: the browser's own path for a crashed tab.
    case 'page-crash': {
      const crashed = page.waitForEvent('crash');
      const session = await page.context().newCDPSession(page);
      session.send('Page.crash').catch(() => undefined); // it never answers
      await crashed;
      await page.close();
      return 'browser';
    }
    // A person closes the tab: no unload handler runs, the worker is ended by the browser.
    case 'tab-close':
      await page.close({ runBeforeUnload: false });
      return 'browser';
    // The page ends its worker in the middle of anything, and lives on to open the store again.
    case 'worker-terminate':
      await page.evaluate(() => crashPage.endWorker());
      return 'page';
  }
}

export const killAll = (processes: Processes): void => signal(processes.all(), 'SIGKILL');

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It ended with its parent meanwhile.
    }
  }
}
