// Puts what the package needs beside its code: the built library and the licences. `npm pack` runs it, and removes them
// behind itself: a library that lies here comes before the repository's own, and would soon be an old one.
//   node scripts/prebuild.mjs --remove
//   node scripts/prebuild.mjs [LIBRARY]      LIBRARY: that of ETCD_LIBRARY, or target/release/libetcd.so, unless named
// It prints the oldest glibc that the library's symbols need.
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../../../', import.meta.url);
const here = new URL('../', import.meta.url);
const library = process.argv[2] ?? process.env.ETCD_LIBRARY ?? fileURLToPath(new URL('target/release/libetcd.so', root));

/** The highest version of glibc among the symbols that a library imports. */
export function glibcOf(file) {
  const symbols = execFileSync('readelf', ['--dyn-syms', '--wide', file], { encoding: 'utf8', maxBuffer: 2 ** 28 });
  const versions = [...symbols.matchAll(/@GLIBC_([0-9.]+)/g)].map(([, version]) => version.split('.').map(Number));
  return versions.reduce((one, other) => (compare(one, other) > 0 ? one : other)).join('.');
}

function compare(one, other) {
  for (let i = 0; i < 3; i++) {
    if ((one[i] ?? 0) !== (other[i] ?? 0)) return (one[i] ?? 0) - (other[i] ?? 0);
  }
  return 0;
}

const licences = ['LICENSE-MIT', 'LICENSE-APACHE'];

function remove() {
  for (const name of ['prebuilds', ...licences]) rmSync(new URL(name, here), { recursive: true, force: true });
}

function add() {
  if (process.platform !== 'linux') throw new Error('only packages for Linux are made here');
  if (!existsSync(library)) throw new Error(`there is no ${library}: run \`make\` in the repository first`);
  const folder = new URL(`prebuilds/linux-${process.arch}/`, here);
  mkdirSync(folder, { recursive: true });
  copyFileSync(library, new URL('libetcd.so', folder));
  for (const licence of licences) copyFileSync(new URL(licence, root), new URL(licence, here));
  // On stderr: what `npm pack` prints on stdout is for programs.
  console.error(`linux-${process.arch}: needs glibc ${glibcOf(library)} or later`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === '--remove') remove();
  else add();
}
