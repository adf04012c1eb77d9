// Plans that once failed, each made smaller and kept: what was mended stays mended. Each runs twice, and both runs must agree.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import type { Plan } from './plan.ts';
import { simulate } from './simulate.ts';

const folder = fileURLToPath(new URL('./regress', import.meta.url));
const files = readdirSync(folder).filter((file) => file.endsWith('.json'));

test.each(files)('a plan that failed once holds: %s', async (file) => {
  const { plan } = JSON.parse(readFileSync(`${folder}/${file}`, 'utf8')) as { readonly plan: Plan };
  const once = await simulate(plan);
  expect(once.violations).toEqual([]);
  expect((await simulate(plan)).trace).toBe(once.trace);
});

test('there are such plans', () => expect(files.length).toBeGreaterThan(0));
