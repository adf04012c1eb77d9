// `npm run bench -- <name> [--json] [--groups=1,1000] [--rounds=5]`: runs one bench by name. A whole run writes its results and says where.
const benches = { commit: './commit.mjs' };

const [name = '', ...flags] = process.argv.slice(2);
const file = Object.hasOwn(benches, name) ? benches[/** @type {keyof typeof benches} */ (name)] : undefined;
if (file === undefined) {
  console.error(`usage: npm run bench -- <name> [--json]\n  names: ${Object.keys(benches).join(', ')}`);
  process.exitCode = 1;
} else {
  const { run } = await import(file);
  await run({ isJson: flags.includes('--json'), groups: numbers('groups'), rounds: numbers('rounds')?.[0] });
}

/** @param {string} flag @returns {number[] | undefined} */
function numbers(flag) {
  const found = flags.find((text) => text.startsWith(`--${flag}=`));
  return found
    ?.slice(flag.length + 3)
    .split(',')
    .map(Number);
}
