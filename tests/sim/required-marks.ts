// Marks, beside incidents and actions, that a run of many seeds must have seen: faults of single requests and calls, and branches of recovery as their
// results show them. docs/simulator.md#faults

export const requiredMarks: readonly string[] = [
  'F-50 reply lost',
  'F-50 request delayed past its time-out',
  'F-50 request lost',
  'F-51 put applied, and again later',
  'F-51 request again later',
  'F-53 reply cut short',
  'F-53 request body cut short',
  'F-54 put applied, answered 412',
  'F-54 put applied, reply lost',
  'F-55 put or read refused by the store',
  'F-55 store slower than its bound',
  'F-56 put applied late',
  'F-57 429',
  'F-62 hundreds of groups wait',
  'F-63 beyond the bounds',
  // What became of calls whose process ended, or whose COMMIT failed.
  'group of a call without an answer was kept',
  'group of a call without an answer was not kept',
  'ended in storageFull writeFailed',
  'ended in unknown reopenFailed',
  // Damage is told, or hit nothing.
  'damage told',
  'damage that hit nothing, or was put right',
  // How replicas begin, and what they and their relay settle.
  'replica started by open',
  'replica started by checkpoint',
  'replica started by genesis',
  'receipt given again for a run that stands',
  'relay answered 409 staleHead',
  'relay answered 409 fork',
  'frozen process resumed',
  'looked at a followed shard',
  'looked at an own shard',
  'published',
  'audit sound',
  'closed in order',
];
