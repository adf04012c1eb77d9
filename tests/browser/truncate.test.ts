// Publishing and truncating in a real Chromium on both backends: the file, and what the browser stores, really shrink, while saves and a live query go on.
import { describe, expect, test } from 'vitest';
import { truncateBytesMin } from '../../kernel/limits.ts';
import type { Backend } from '../../worker/browser/page.ts';
import { runPublishSoak } from './publish-soak.ts';

describe.each<Backend>(['opfs-pool', 'indexeddb'])('on %s', (backend) => {
  test('a log that grew is published and truncated while saves go on: room is given back, nothing is lost', async () => {
    const soak = await runPublishSoak({ backend, seconds: 10, saveBytes: 30_000 });
    console.info(JSON.stringify(soak));
    expect({ failed: soak.failed, lost: soak.lost, lostOnOther: soak.lostOnOther }).toEqual({ failed: [], lost: 0, lostOnOther: 0 });
    expect(soak.otherStartedFrom).toBe('checkpoint');
    expect(soak.truncatedTo).toBeGreaterThan(0);
    expect(soak.published).toBeGreaterThan(0);
    expect(soak.savedDuringJobs).toBeGreaterThan(0);
    expect(soak.patches).toBeGreaterThan(10);
    expect(soak.loggedBytes).toBeGreaterThan(truncateBytesMin);
    expect(soak.logBytes).toBeLessThan(soak.loggedBytes);
    expect(soak.fileBytes).toBeLessThan(soak.fileBytesMax);
    // The state is about a megabyte; what stays beside it is a log below its bound.
    expect(soak.storedBytes).toBeLessThan(soak.loggedBytes + 2 * truncateBytesMin);
  });
});
