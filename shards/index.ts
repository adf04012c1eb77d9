// The published entry `foldlog/schema`: everything an app needs to declare its shards. Shared by page, worker and tests.

export { FoldlogError } from '../kernel/errors.ts';
export type { JsonValue } from '../kernel/op-body.ts';
export {
  type Command,
  type CommandRead,
  command,
  defineShard,
  type FoldStamp,
  type OpClass,
  type OpInput,
  type OpOptions,
  type OpPlace,
  op,
  type ReducerDb,
  type ShardDefinition,
  type ShardSpec,
  type Upcast,
  type Written,
} from './define.ts';
export { type Sql, type SqlValue, sql } from './sql.ts';
export { blob, type Column, int, nullable, real, type Table, table, text } from './table.ts';
