'use strict';
// Finding libetcd, and loading it once in each thread.

const fs = require('node:fs');
const path = require('node:path');
const { declare, HEADER_VERSION } = require('./raw.js');

const NAMES = { darwin: 'libetcd.dylib', win32: 'etcd.dll' };
const NAME = NAMES[process.platform] ?? 'libetcd.so';
const PACKAGE = path.dirname(__dirname);

/** No libetcd could be loaded, or none that will do. The message says what was tried and what helps. */
class LibraryError extends Error {
  constructor(message, options) {
    super(message, options);
    this.code = 'ETCD_LIBRARY';
  }
}
Object.defineProperty(LibraryError.prototype, 'name', { value: 'LibraryError', configurable: true, writable: true });

/**
 * Where to look, in this order. What was asked for by name is all that is tried: another library in its place would
 * be a surprise.
 */
function candidates(asked) {
  if (asked !== undefined) return [asked];
  if (process.env.ETCD_LIBRARY) return [process.env.ETCD_LIBRARY];
  const beside = [
    path.join(PACKAGE, 'prebuilds', `${process.platform}-${process.arch}`, NAME),
    path.join(PACKAGE, '..', '..', 'target', 'release', NAME),
  ].filter(file => fs.existsSync(file));
  // The soname first: plain libetcd.so may be the C library of 2013.
  return [...beside, ...(NAME === 'libetcd.so' ? ['libetcd.so.0'] : []), NAME];
}

function loadOne(file) {
  let raw;
  try {
    raw = declare(file);
  } catch (error) {
    if (/find function|etcd_/.test(error.message)) {
      throw new LibraryError(`${file} is not the libetcd that this package needs (${error.message})`, { cause: error });
    }
    throw error;
  }
  if (raw.versionCheck(HEADER_VERSION) !== 0) {
    throw new LibraryError(`${file} is libetcd ${raw.version()}, and this package is made for ${dotted(HEADER_VERSION)}`);
  }
  return raw;
}

function dotted(version) {
  return [Math.floor(version / 1e6), Math.floor(version / 1e3) % 1e3, version % 1e3].join('.');
}

const ADVICE =
  'Install the package anew, build the library (`make` in its repository) and name its file with the option ' +
  '`library` or the variable ETCD_LIBRARY, or install it where the system looks (`make install`, then `ldconfig`).';

const loaded = new Map();

/** The functions of the library: of a file, or of the first one that is found. */
function library(asked) {
  if (asked !== undefined && (typeof asked !== 'string' || asked === '')) {
    throw new TypeError('the option `library` must be the path of a file');
  }
  const key = asked ?? process.env.ETCD_LIBRARY ?? '';
  if (!loaded.has(key)) loaded.set(key, find(candidates(asked)));
  return loaded.get(key);
}

function find(files) {
  const reasons = [];
  for (const file of files) {
    try {
      return loadOne(file);
    } catch (error) {
      reasons.push(`  ${file}: ${error.message}`);
    }
  }
  throw new LibraryError(`no libetcd that will do was found:\n${reasons.join('\n')}\n${ADVICE}`);
}

module.exports = { library, candidates, LibraryError };
