// Syntax trees for the tidy rules: parse one module, walk it, list what it imports.
// Trees are `unknown` shaped objects here; each reader checks the few fields it uses.
import { parseSync } from 'vite';

export interface Node {
  readonly type: string;
  readonly [field: string]: unknown;
}

export interface ImportRef {
  readonly specifier: string;
  /** Nothing of it is there at run time. */
  readonly typesOnly: boolean;
}

export type Parsed = { readonly kind: 'parsed'; readonly program: Node } | { readonly kind: 'unreadable'; readonly message: string };

export function parseModule(path: string, text: string): Parsed {
  const { program, errors } = parseSync(path, text);
  const first = errors[0];
  if (first) return { kind: 'unreadable', message: first.message };
  return { kind: 'parsed', program: program as unknown as Node };
}

/** Calls `visit` on every node, parents first; a `false` from it leaves the node's children out. */
export function walk(node: Node, visit: (node: Node) => boolean | undefined): void {
  if (visit(node) === false) return;
  for (const child of childrenOf(node)) walk(child, visit);
}

export function childrenOf(node: Node): Node[] {
  return Object.values(node).flatMap((value) => (Array.isArray(value) ? value : [value]).filter(isNode));
}

export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}

/** Static, re-exported, dynamic and type-position imports, and files named by `new URL('./…', import.meta.url)`. */
export function findImports(program: Node): ImportRef[] {
  const found: ImportRef[] = [];
  walk(program, (node) => {
    const specifier = specifierOf(node);
    if (specifier !== undefined) found.push({ specifier, typesOnly: isTypesOnly(node) });
    return undefined;
  });
  return found;
}

function specifierOf(node: Node): string | undefined {
  if (node.type === 'NewExpression') {
    const [first, second] = node.arguments as Node[];
    const isOwnUrl = nameOf(node.callee) === 'URL' && isNode(second) && second.type === 'MemberExpression';
    const text = isOwnUrl ? literalOf(first) : undefined;
    return text !== undefined && /\.(?:ts|js|mts|mjs)$/.test(text) ? text : undefined;
  }
  const kinds = ['ImportDeclaration', 'ExportAllDeclaration', 'ExportNamedDeclaration', 'ImportExpression'];
  return [...kinds, 'TSImportType'].includes(node.type) ? literalOf(node.source) : undefined;
}

function isTypesOnly(node: Node): boolean {
  if (node.type === 'TSImportType' || node.importKind === 'type' || node.exportKind === 'type') return true;
  const names = (node.specifiers as Node[] | undefined) ?? [];
  return names.length > 0 && names.every((name) => name.importKind === 'type' || name.exportKind === 'type');
}

function literalOf(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Literal' && typeof value.value === 'string' ? value.value : undefined;
}

export function nameOf(value: unknown): string | undefined {
  return isNode(value) && value.type === 'Identifier' ? (value.name as string) : undefined;
}
