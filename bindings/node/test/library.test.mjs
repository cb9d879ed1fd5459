// Where the library is looked for, and what is said of one that will not do.
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import * as imported from 'etcd-api';
import { here, node, root } from './helpers.mjs';

const require = createRequire(import.meta.url);
const raw = require('../lib/raw.js');
const errors = require('../lib/errors.js');
const { library, candidates } = require('../lib/library.js');
const built = process.env.ETCD_LIBRARY ?? path.join(root, 'target/release/libetcd.so');
const header = readFileSync(path.join(root, 'include/etcd-api.h'), 'utf8');

test('the header has the same constants', () => {
  const constants = new Map([...header.matchAll(/^#define (ETCD_\w+) (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]));
  assert.equal(raw.HEADER_VERSION, constants.get('ETCD_API_VERSION'));
  const prefixes = { FIELD: 'FIELD', COUNTER: 'COUNTER', PACKED: 'PACKED', EVENT: 'EVENT', WATCH: 'WATCH', KV: 'KV',
    TARGET: 'TARGET', RELATION: 'RELATION', ALARM: 'ALARM', ALARM_ACTION: 'ALARM' };
  let compared = 0;
  for (const [table, prefix] of Object.entries(prefixes)) {
    for (const [name, value] of Object.entries(raw[table])) {
      assert.equal(constants.get(`ETCD_${prefix}_${name}`), value, `${table}.${name}`);
      compared++;
    }
  }
  for (const [status, name] of errors.STATUSES) assert.equal(constants.get(`ETCD_ERR_${name}`), status, name);
  const statuses = [...constants.keys()].filter(name => name.startsWith('ETCD_ERR_'));
  assert.deepEqual(statuses.length, errors.STATUSES.length, 'every status has its class');
  assert(compared > 80);
});

test('the header has the same functions', () => {
  const flat = header.replace(/\/\*[^]*?\*\//g, '').replace(/\s+/g, ' ');
  for (const prototype of Object.values(raw.FUNCTIONS)) {
    const [, name, parameters] = prototype.match(/(etcd_\w+)\((.*)\)/);
    const declared = flat.match(new RegExp(`\\b${name}\\(([^)]*)\\)`));
    assert(declared, `${name} is not in the header`);
    const number = list => (['', 'void'].includes(list.trim()) ? 0 : list.split(',').length);
    assert.equal(number(parameters), number(declared[1]), name);
  }
});

test('it is looked for in a fixed order', () => {
  const before = process.env.ETCD_LIBRARY;
  process.env.ETCD_LIBRARY = '/from/the/environment';
  assert.deepEqual(candidates('/asked/for'), ['/asked/for']);
  assert.deepEqual(candidates(undefined), ['/from/the/environment']);
  delete process.env.ETCD_LIBRARY;
  const files = candidates(undefined);
  assert.deepEqual(files.slice(-2), ['libetcd.so.0', 'libetcd.so']);
  if (before !== undefined) process.env.ETCD_LIBRARY = before;
});

test('the package\'s own comes before the repository\'s', t => {
  const folder = mkdtempSync(path.join(tmpdir(), 'etcd-api-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const copy = path.join(folder, 'bindings/node/lib');
  const files = [path.join(folder, 'target/release'), path.join(folder, `bindings/node/prebuilds/linux-${process.arch}`)];
  for (const place of [copy, ...files]) mkdirSync(place, { recursive: true });
  for (const name of ['library.js', 'raw.js']) copyFileSync(here(`../lib/${name}`), path.join(copy, name));
  const before = process.env.ETCD_LIBRARY;
  delete process.env.ETCD_LIBRARY;
  const copied = createRequire(path.join(copy, 'x.js'))('./library.js');
  assert.deepEqual(copied.candidates(), ['libetcd.so.0', 'libetcd.so']);
  symlinkSync(built, path.join(files[0], 'libetcd.so'));
  assert.deepEqual(copied.candidates()[0], path.join(files[0], 'libetcd.so'));
  symlinkSync(built, path.join(files[1], 'libetcd.so'));
  assert.deepEqual(copied.candidates().slice(0, 2), [files[1], files[0]].map(place => path.join(place, 'libetcd.so')));
  if (before !== undefined) process.env.ETCD_LIBRARY = before;
});

test('one that is not there, and one that is something else, are told with what helps', () => {
  assert.throws(() => library('/no/such/libetcd.so'), error => {
    assert.deepEqual([error.name, error.code], ['LibraryError', 'ETCD_LIBRARY']);
    assert.match(error.message, /\/no\/such\/libetcd\.so: /);
    assert.match(error.message, /ETCD_LIBRARY/);
    return error instanceof imported.LibraryError;
  });
  assert.throws(() => library('libm.so.6'), /libm\.so\.6 is not the libetcd that this package needs/);
  assert.throws(() => library(''), TypeError);
  assert.throws(() => library(5), TypeError);
});

test('one of another version is refused with what helps', async () => {
  // The version that is asked for is what the program believes to need: one that no library has yet.
  const { code, err } = await node(['-e', `
    const raw = require(${JSON.stringify(here('../lib/raw.js'))});
    raw.HEADER_VERSION = 9_000_000;
    require(${JSON.stringify(here('../index.js'))}).open({ endpoints: 'mem://', library: ${JSON.stringify(built)} });
  `]);
  assert.equal(code, 1);
  assert.match(err, /is libetcd 0\.\d+\.\d+, and this package is made for 9\.0\.0/);
  assert.match(err, /Install the package anew/);
});

test('it is loaded by name', async () => {
  const program = `require("etcd-api").open({ endpoints: "mem://", library: process.argv[1] })
    .put("a", "1").then(() => console.log("done"))`;
  const { out, err } = await node(['-e', program, built], { cwd: here('.'), env: { ETCD_LIBRARY: '/no/such/file' } });
  assert.equal(out, 'done\n', err);
});

test('import and require give the same things', () => {
  const required = require('etcd-api');
  const names = Object.keys(required).sort();
  assert.deepEqual(Object.keys(imported).filter(name => name !== 'default').sort(), names);
  for (const name of names) assert.equal(imported[name], required[name], name);
  assert.equal(imported.default, required);
});

test('the types have every name, and the names of the classes are right', () => {
  const types = readFileSync(here('../index.d.ts'), 'utf8');
  for (const [name, value] of Object.entries(require('etcd-api'))) {
    assert.match(types, new RegExp(`export (function|const|class) ${name}\\b`));
    if (typeof value === 'function' && value.prototype instanceof Error && name !== 'CanceledError') {
      assert.deepEqual([value.name, value.prototype.name], [name, name]);
    }
  }
  const client = types.match(/export interface Client \{([^]*?)\n\}/)[1];
  const methods = Object.getOwnPropertyNames(require('../lib/client.js').Client.prototype).filter(name => name !== 'constructor');
  for (const name of methods) assert.match(client, new RegExp(`\\b${name}\\b`), name);
});
