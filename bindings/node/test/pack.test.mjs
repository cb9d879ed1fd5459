// What `npm pack` makes, installed where there is nothing else.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { glibcOf } from '../scripts/prebuild.mjs';
import { here } from './helpers.mjs';

/** Without what a developer's machine has: no compilers on the path, no variables that lead to a library. */
function bareEnvironment() {
  const { HOME } = process.env;
  return { HOME, PATH: `${path.dirname(process.execPath)}:/usr/bin:/bin` };
}

test('the package works where it is installed', t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'etcd-api-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const packed = execFileSync('npm', ['pack', '--json', '--pack-destination', folder],
    { cwd: here('..'), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  const [{ filename, files }] = JSON.parse(packed);
  const names = files.map(file => file.path);
  for (const name of ['index.js', 'index.mjs', 'index.d.ts', 'index.d.mts', 'README.md', 'LICENSE-MIT', 'LICENSE-APACHE',
    'prebuilds/linux-x64/libetcd.so', 'examples/quickstart.mjs', 'examples/leader.mjs', 'lib/client.js',
    'lib/lock.js', 'locked.js', 'locked.d.ts']) {
    assert(names.includes(name), `${name} is missing`);
  }
  assert(!existsSync(here('../prebuilds')), 'it would come before the repository\'s own');
  assert(!names.some(name => /^(test|bench|scripts)\//.test(name)), names.join());

  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }');
  execFileSync('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', `./${filename}`],
    { cwd: folder, env: bareEnvironment(), stdio: 'pipe' });
  const run = args => execFileSync(process.execPath, args, { cwd: folder, env: bareEnvironment(), encoding: 'utf8' });
  assert.match(run(['node_modules/etcd-api/examples/quickstart.mjs']), /^the colour is blue\n/);
  const program = `
    const etcd = require('etcd-api').open('mem://');
    etcd.put('a', '1').then(() => etcd.close()).then(() => {
      console.log(require('fs').readFileSync('/proc/self/maps', 'utf8').match(/\\S*libetcd\\S*/)[0]);
    });`;
  assert.equal(run(['-e', "console.log(typeof require('etcd-api/locked')('mem://'))"]), 'function\n');
  const library = path.join(folder, 'node_modules/etcd-api/prebuilds/linux-x64/libetcd.so');
  assert.equal(run(['-e', program]).trim(), library);
  const readme = readFileSync(path.join(folder, 'node_modules/etcd-api/README.md'), 'utf8');
  const needed = glibcOf(library);
  assert(readme.includes(`glibc ${needed} or later`), `the README must say that it needs glibc ${needed}`);
});
