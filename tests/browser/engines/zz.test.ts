import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Site, serveLab } from '../harness.ts';
import { chromiumEngine } from './chromium.ts';
import { waitFor } from './engine.ts';
import { firefoxEngine } from './firefox.ts';
import { webkitEngine } from './webkit.ts';
let site: Site;
beforeAll(async () => { site = await serveLab(); });
afterAll(async () => { await site?.close(); });
for (const e of [chromiumEngine, firefoxEngine, webkitEngine('as it comes'), webkitEngine('file system on, nothing on disk'), webkitEngine('file system on, data on disk'), webkitEngine('data on disk')]) {
  test(`${e.name} ${e.mode}`, async () => {
    const t0 = Date.now();
    const d = await e.makeDevice();
    try {
      const tab = await d.open(site.origin);
      const t1 = Date.now();
      await waitFor(tab, `'lab' in globalThis`);
      console.log(e.name, e.mode, d.version(), t1 - t0);
      console.log(JSON.stringify(await tab.evaluate(async (s) => { const x = await lab.failureOf(lab.shop(s)); return x ?? null; }, 'probe')));
      const t2 = Date.now();
      console.log(JSON.stringify(await tab.evaluate(async (s) => { try { const { ws } = await lab.shop(s, { allowMemory: true }); const st = await ws.status(); await ws.close(); return [st.backend, st.durability, st.verdict, st.key]; } catch (e) { return String(e); } }, 'probe2')), t2 - t1);
    } finally { const t3 = Date.now(); await d.remove(); console.log('remove', Date.now() - t3); }
  });
}
