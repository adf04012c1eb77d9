// `npm run bench -- <name> [--json] [--groups=1,1000] [--rounds=5] [--parts=start]`: runs one bench by name. A whole run writes its results and
// says where; one that was cut short by a flag shows them only.
const benches = { commit: './commit.mjs', storage: './storage.mjs', flushes: './flushes.mjs', 'cold-start': './cold-start.mjs' };

const [name = '', ...flags] = process.argv.slice(2);
const file = Object.hasOwn(benches, name) ? benches[/** @type {keyof typeof benches} */ (name)] : undefined;
if (file === undefined) {
  console.error(`usage: npm run bench -- <name> [--json]\n  names: ${Object.keys(benches).join(', ')}`);
  process.exitCode = 1;
} else {
  const { run } = await import(file);
  const groups = texts('groups')?.map(Number);
  await run({ isJson: flags.includes('--json'), groups, rounds: texts('rounds')?.map(Number)[0], parts: texts('parts') });
}

/** @param {string} flag @returns {string[] | undefined} */
function texts(flag) {
  const found = flags.find((text) => text.startsWith(`--${flag}=`));
  return found?.slice(flag.length + 3).split(',');
}
