// Finds uses of the host's clock, randomness, timers and crypto where only ports are allowed (kernel/ports.ts):
// a run that reads them cannot be replayed from its seed.
import { childrenOf, isNode, type Node, nameOf, walk } from './syntax.ts';

const MEMBERS: Readonly<Record<string, string>> = {
  'Date.now': 'the Clock port',
  'Math.random': 'the Random port',
  'performance.now': 'the Clock port',
};
const NAMES: Readonly<Record<string, string>> = {
  setTimeout: 'the Scheduler port',
  setInterval: 'the Scheduler port',
  crypto: 'a crypto port (Signer, Verifier, BulkDigest) or the Random port',
};
const HOSTS = ['globalThis', 'self', 'window'];

/** One line per use, naming what to use instead. A name the file itself binds is not the host's. */
export function findBannedGlobals(program: Node): string[] {
  const bound = boundNames(program);
  const found: string[] = [];
  visit(program);
  return [...new Set(found)];

  function visit(node: Node): void {
    const use = bannedUse(node, bound);
    if (use) found.push(`uses ${use[0]}: take ${use[1]} of kernel/ports.ts`);
    for (const child of referencesOf(node)) visit(child);
  }
}

function bannedUse(node: Node, bound: ReadonlySet<string>): readonly [string, string] | undefined {
  if (node.type === 'MemberExpression') {
    const member = nameOf(node.property);
    const owner = nameOf(node.object) ?? (isHostMember(node.object) ? nameOf(node.object.property) : undefined);
    const port = MEMBERS[`${owner}.${member}`];
    if (port && owner && !bound.has(owner)) return [`${owner}.${member}`, port];
    const name = member && isHost(node.object) ? NAMES[member] : undefined;
    return name ? [`globalThis.${member}`, name] : undefined;
  }
  if (node.type === 'NewExpression' || node.type === 'CallExpression') {
    const bare = (node.arguments as Node[]).length === 0 || node.type === 'CallExpression';
    if (nameOf(node.callee) !== 'Date' || !bare || bound.has('Date')) return undefined;
    return [node.type === 'NewExpression' ? 'new Date()' : 'Date()', 'the Clock port'];
  }
  const name = nameOf(node);
  const port = name === undefined || bound.has(name) ? undefined : NAMES[name];
  return name && port ? [name, port] : undefined;
}

/** Children that are read: not the names of members, properties and imports, and not types. */
function referencesOf(node: Node): Node[] {
  if (/^TS(?:TypeQuery|TypeReference|TypeAnnotation|InterfaceDeclaration|TypeAlias)/.test(node.type)) return [];
  if (/^(?:Import|Export)(?:Specifier|DefaultSpecifier|NamespaceSpecifier)$/.test(node.type)) return [];
  const isNamed = node.computed !== true;
  return childrenOf(node).filter((child) => !(isNamed && (child === node.property || (child === node.key && node.shorthand !== true))));
}

function boundNames(program: Node): Set<string> {
  const names = new Set<string>();
  walk(program, (node) => {
    if (/^(?:VariableDeclarator|FunctionDeclaration|ClassDeclaration)$/.test(node.type)) bind(node.id);
    if (/^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) {
      for (const param of node.params as Node[]) bind(param);
    }
    if (/^Import.*Specifier$/.test(node.type)) bind(node.local);
    return undefined;
  });
  return names;

  function bind(pattern: unknown): void {
    if (!isNode(pattern)) return;
    const name = nameOf(pattern);
    if (name !== undefined) names.add(name);
    else if (pattern.type === 'AssignmentPattern') bind(pattern.left);
    else if (pattern.type === 'Property') bind(pattern.value);
    else if (pattern.type === 'RestElement') bind(pattern.argument);
    else if (pattern.type === 'TSParameterProperty') bind(pattern.parameter);
    else for (const part of childrenOf(pattern)) bind(part);
  }
}

function isHost(value: unknown): boolean {
  return HOSTS.includes(nameOf(value) ?? '');
}

function isHostMember(value: unknown): value is Node {
  return isNode(value) && value.type === 'MemberExpression' && isHost(value.object);
}
