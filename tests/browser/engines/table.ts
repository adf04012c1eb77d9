// What each engine, in each way it can be started here, gives the store today: the expectation of engines.test.ts, and in words the table of
// docs/durability.md#browsers. A backend that is new to an engine changes its row here and nothing else.
import type { Backend } from '../../../worker/browser/page.ts';
import { chromiumEngine } from './chromium.ts';
import type { Engine } from './engine.ts';
import { firefoxEngine } from './firefox.ts';
import { webkitEngine } from './webkit.ts';

export interface EngineRow {
  readonly engine: Engine;
  /** What the app asks for, when it is not the usual order. */
  readonly asks?: readonly Backend[];
  readonly verifier: 'web' | 'portable';
  readonly backend: Backend;
  /** What `saved` outlives: a reload of the page, or the browser as well, which needs a profile on disk. */
  readonly outlives: 'reload' | 'browser';
  /** What the detector ran into with the backend before, which the verdict names. */
  readonly lacks?: string;
}

const web = { verifier: 'web', outlives: 'browser' } as const;
const webkit = { verifier: 'portable', backend: 'indexeddb' } as const;

export const engineTable: readonly EngineRow[] = [
  { engine: chromiumEngine, ...web, backend: 'opfs-pool' },
  { engine: chromiumEngine, ...web, asks: ['indexeddb'], backend: 'indexeddb' },
  { engine: firefoxEngine, ...web, backend: 'opfs-pool' },
  { engine: firefoxEngine, ...web, asks: ['indexeddb'], backend: 'indexeddb' },
  { engine: webkitEngine('as it comes'), ...webkit, outlives: 'reload', lacks: 'no navigator.storage' },
  { engine: webkitEngine('file system on, nothing on disk'), ...webkit, outlives: 'reload', lacks: 'UnknownError' },
  { engine: webkitEngine('file system on, data on disk'), ...webkit, outlives: 'browser', lacks: 'NotSupportedError' },
  { engine: webkitEngine('data on disk'), ...webkit, outlives: 'browser', lacks: 'no navigator.storage' },
];
