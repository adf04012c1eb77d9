// What an app keeps beside the example: ops and rows of its first release, one op of the second, and the record of what was released.

import type { FixtureGroup, Releases, StateFixture } from '../../../tooling/testing.ts';

const groups: readonly FixtureGroup[] = [
  { ops: [['sale.made', { sale: 'a', cents: 250 }, 1]] },
  { ops: [['sale.made', { sale: 'b', cents: 19 }, 1]] },
  { ops: [['sale.made', { sale: 'c', cents: 10, vat: 1 }, 2]] },
];

const state: StateFixture = {
  version: 1,
  seq: 2,
  rows: {
    sale: [
      { id: 'a', cents: 250 },
      { id: 'b', cents: 19 },
    ],
  },
};

export const fixtures = { groups, state };

export const released: Releases = {
  till: {
    version: 1,
    foldId: '00',
    foldIdOf: 'declared',
    schemas: ['b9df207d3306e7708bbbd7855c5d53a2b772ceff9581bb44af9915b8fd774d87'],
  },
};
