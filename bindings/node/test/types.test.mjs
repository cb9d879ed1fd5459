// The types, checked by tsc as programs are that use them.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { here, node } from './helpers.mjs';

const tsc = here('types/node_modules/typescript/bin/tsc');
const MODES = {
  node16: { files: ['usage.mts', 'usage.cts'], flags: ['--module', 'node16', '--moduleResolution', 'node16'] },
  bundler: { files: ['usage.mts'], flags: ['--module', 'esnext', '--moduleResolution', 'bundler'] },
};

for (const [mode, { files, flags }] of Object.entries(MODES)) {
  test(`tsc --strict with ${mode} resolution`, { skip: !existsSync(tsc) && '`npm ci` in test/types was not run' }, async () => {
    const strict = ['--noEmit', '--strict', '--target', 'es2022', '--types', 'node'];
    const { code, out } = await node([tsc, ...strict, ...flags, ...files], { cwd: here('types'), limit: 120000 });
    assert.equal(code, 0, out);
  });
}
