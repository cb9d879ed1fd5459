'use strict';
// What users give, checked: koffi would make something of anything.

const { isUint8Array } = require('node:util').types;

const INT64_MAX = 2n ** 63n - 1n;
/** etcd's word for it: one NUL byte. */
const NO_END = Buffer.alloc(1);

function kindOf(value) {
  if (value === null) return 'null';
  if (typeof value === 'number') return `the number ${value}`;
  return Array.isArray(value) ? 'an array' : `a value of type ${typeof value}`;
}

/** The bytes of a key or value. */
function bytes(value, what) {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new TypeError(`${what} has a lone surrogate: it is no text, and has no bytes`);
    return Buffer.from(value);
  }
  if (isUint8Array(value)) return value;
  throw new TypeError(`${what} must be a string, Buffer or Uint8Array, not ${kindOf(value)}`);
}

function flag(value, what) {
  if (typeof value !== 'boolean') throw new TypeError(`${what} must be true or false, not ${kindOf(value)}`);
  return value ? 1 : 0;
}

/** A whole number from 0 to 2^53 - 1: revisions, limits, seconds. */
function whole(value, what) {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new TypeError(`${what} must be a whole number from 0 to 2^53 - 1, not ${kindOf(value)}`);
  }
  return value;
}

/** The id of a lease: a BigInt always, since it has 63 bits. */
function lease(value, what) {
  if (typeof value !== 'bigint' || value < 0n || value > INT64_MAX) {
    throw new TypeError(`${what} must be the id of a lease, a BigInt from 0 to 2^63 - 1, not ${kindOf(value)}`);
  }
  return value;
}

/** The id of a member: all 64 bits of it, which C takes as a signed number. */
function member(value, what) {
  if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value) {
    throw new TypeError(`${what} must be the id of a member, a BigInt from 0 to 2^64 - 1, not ${kindOf(value)}`);
  }
  return BigInt.asIntN(64, value);
}

/** One of some words. */
function word(words) {
  return (value, what) => {
    if (typeof value !== 'string' || !Object.hasOwn(words, value)) {
      const all = Object.keys(words).map(name => `'${name}'`).join(', ');
      throw new TypeError(`${what} must be one of ${all}, not ${typeof value === 'string' ? `'${value}'` : kindOf(value)}`);
    }
    return words[value];
  };
}

/** An object of options, or none. */
function object(value, what) {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || Array.isArray(value) || isUint8Array(value)) {
    throw new TypeError(`${what} must be an object, not ${kindOf(value)}`);
  }
  return value;
}

/** Refuses names that mean nothing: a misspelt option must not be as good as none. */
function onlyKnown(value, known, what) {
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(known, name)) {
      throw new TypeError(`${what} has no option \`${name}\`; there are: ${Object.keys(known).join(', ')}`);
    }
  }
  return value;
}

/** Milliseconds for the library; -1 stands for the client's own `requestTimeoutMs`. */
function timeout(value) {
  return value === undefined ? -1 : whole(value, '`timeout`');
}

function abortSignal(value) {
  if (value !== undefined && !(typeof value === 'object' && value !== null && typeof value.aborted === 'boolean' &&
      typeof value.addEventListener === 'function')) {
    throw new TypeError(`\`signal\` must be an AbortSignal, not ${kindOf(value)}`);
  }
  return value;
}

/**
 * Keys: one (a string or bytes), those with a prefix, or those from `start` on, up to and without `end`.
 * Gives the first key, and what makes it many.
 */
function range(value, what = 'a key') {
  if (typeof value === 'string' || isUint8Array(value)) return { key: bytes(value, what), isPrefix: false, end: null };
  const { prefix, start, end } = onlyKnown(object(value, what), { prefix: 0, start: 0, end: 0 }, what);
  if ((prefix === undefined) === (start === undefined)) {
    throw new TypeError(`${what} must be a string, bytes, { prefix } or { start, end }`);
  }
  if (prefix !== undefined) {
    if (end !== undefined) throw new TypeError(`${what} has \`prefix\` and \`end\`: only one can be right`);
    return { key: bytes(prefix, '`prefix`'), isPrefix: true, end: null };
  }
  return { key: bytes(start, '`start`'), isPrefix: false, end: end === undefined ? NO_END : endOf(end) };
}

/** Where a range ends. Nothing at all means to etcd that it is no range, but the one key `start`. */
function endOf(value) {
  const end = bytes(value, '`end`');
  if (end.length === 0) throw new TypeError('`end` is empty: without `end`, the range goes to the last key');
  return end;
}

module.exports = { bytes, flag, whole, lease, member, word, object, onlyKnown, timeout, abortSignal, range, kindOf };
