// The published entry `foldlog/testing`: folds ops in Node, in memory, with the engine's own fold, schema and images, so that an app can hold its
// reducers, upcasts and migrations to what they must keep: the same ops give the same rows on every way there is. docs/evolution.md

export { FoldlogError } from '../kernel/errors.ts';
export {
  type FixtureGroup,
  type FixtureOp,
  type FoldedState,
  foldFixture,
  foldOnFrom,
  type StateFixture,
  stateFixture,
} from './fold-fixture.ts';
export { changesSince, type Release, type ReleaseChange, type Releases, releaseOf } from './releases.ts';
export { type UpcastCoverage, upcastCoverage } from './upcast-coverage.ts';
