// SQL functions whose answer is not a function of the rows: what neither a reducer nor a migration may call.

const impureFunctions = new Set([
  'random',
  'randomblob',
  'date',
  'time',
  'datetime',
  'julianday',
  'unixepoch',
  'strftime',
  'timediff',
  'current_time',
  'current_date',
  'current_timestamp',
  'changes',
  'total_changes',
  'last_insert_rowid',
  'sqlite_version',
  'sqlite_source_id',
  'load_extension',
]);

export const isImpure = (name: string): boolean => impureFunctions.has(name.toLowerCase());
