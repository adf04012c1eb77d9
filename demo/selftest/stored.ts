// What the self-test keeps on this device beside its store: the report it goes on with after the reload. And how all of it is removed.
// The run's name also stands in the address: should the browser forget everything at once, the page still knows that there was something.

import type { Report } from './report.ts';

export const storeName = 'selftest';
const reportKey = 'foldlog-selftest';
const hashStart = '#run-';
/** Files of a worker that was just ended are freed a moment later. */
const removeDelaysMs = [50, 200, 800, 2_000];

export type Remembered = { readonly kind: 'none' } | { readonly kind: 'report'; readonly report: Report } | { readonly kind: 'forgotten' };

export function remembered(): Remembered {
  const text = localStorage.getItem(reportKey);
  if (text !== null) return { kind: 'report', report: JSON.parse(text) as Report };
  return location.hash.startsWith(hashStart) ? { kind: 'forgotten' } : { kind: 'none' };
}

export function remember(report: Report): void {
  localStorage.setItem(reportKey, JSON.stringify(report));
  history.replaceState(null, '', `${location.pathname}${hashStart}${report.run}`);
}

/** Removes the store and the report. Nobody may have the store open. */
export async function forgetAll(): Promise<void> {
  await removeFiles();
  for (const { name } of await indexedDB.databases()) if (name?.endsWith(`/${storeName}`)) await removeDatabase(name);
  localStorage.removeItem(reportKey);
  history.replaceState(null, '', location.pathname);
}

async function removeFiles(): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle('foldlog');
      await folder.removeEntry(`${storeName}.probe`).catch(() => undefined); // what the engine writes to see whether files are kept
      return await folder.removeEntry(storeName, { recursive: true });
    } catch (cause) {
      // Nothing there, or a browser without such files: nothing to remove.
      const isHeld = cause instanceof DOMException && cause.name === 'NoModificationAllowedError';
      const delay = removeDelaysMs[attempt];
      if (!isHeld) return;
      if (delay === undefined) throw cause;
      await new Promise((resolve) => setTimeout(resolve, delay));
    }
  }
}

function removeDatabase(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    request.onsuccess = () => resolve();
    request.onerror = () => reject(request.error ?? new Error(`${name} could not be removed`));
    request.onblocked = () => reject(new Error(`${name} is open in another tab: close it, then try again`));
  });
}
