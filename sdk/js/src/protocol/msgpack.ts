/** MessagePack for the values of JSON, in fewer bytes. */

/** A JSON value as MessagePack. @internal */
export function pack(value: unknown): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  write(value, parts);
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function bytes(head: number, size: number, set: (view: DataView) => void): Uint8Array {
  const part = new Uint8Array(1 + size);
  part[0] = head;
  set(new DataView(part.buffer, 1));
  return part;
}

/** The head of a value with a length: in the head itself if it is below `small`, else behind the first of `heads` that fits. */
function sized(length: number, fix: number, small: number, head8: number, head16: number): Uint8Array {
  if (length < small) return Uint8Array.of(fix | length);
  if (length < 256 && head8) return Uint8Array.of(head8, length);
  return length < 65536
    ? bytes(head16, 2, (view) => view.setUint16(0, length))
    : bytes(head16 + 1, 4, (view) => view.setUint32(0, length));
}

function write(value: unknown, parts: Uint8Array[]): void {
  if (typeof value === "string") {
    const encoded = new TextEncoder().encode(value);
    parts.push(sized(encoded.length, 0xa0, 32, 0xd9, 0xda), encoded);
  } else if (typeof value === "number") parts.push(number(value));
  else if (typeof value === "boolean") parts.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  else if (Array.isArray(value)) {
    parts.push(sized(value.length, 0x90, 16, 0, 0xdc));
    for (const each of value) write(each, parts);
  } else if (value && typeof value === "object") {
    const entries = Object.entries(value);
    parts.push(sized(entries.length, 0x80, 16, 0, 0xde));
    for (const [key, each] of entries) {
      write(key, parts);
      write(each, parts);
    }
  } else parts.push(Uint8Array.of(0xc0));
}

function number(value: number): Uint8Array {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return bytes(0xcb, 8, (view) => view.setFloat64(0, value));
  if (value >= -32 && value < 128) return Uint8Array.of(value & 0xff);
  if (value >= 0 && value < 2 ** 32) return bytes(0xce, 4, (view) => view.setUint32(0, value));
  return bytes(0xd3, 8, (view) => view.setBigInt64(0, BigInt(value)));
}

/** The value of one MessagePack object. Throws `RangeError` or `TypeError` if it is not one. @internal */
export function unpack(data: ArrayBuffer): unknown {
  const view = new DataView(data);
  let at = 0;
  /** An unsigned integer of `size` bytes. */
  const uint = (size: number): number => {
    at += size;
    if (size === 1) return view.getUint8(at - 1);
    if (size === 2) return view.getUint16(at - 2);
    if (size === 4) return view.getUint32(at - 4);
    return Number(view.getBigUint64(at - 8));
  };
  const int = (size: number): number => {
    const value = BigInt.asIntN(8 * size, size < 8 ? BigInt(uint(size)) : view.getBigUint64((at += 8) - 8));
    return Number(value);
  };
  const string = (length: number): string =>
    new TextDecoder().decode(new Uint8Array(data, (at += length) - length, length));
  const array = (length: number): unknown[] => {
    const list: unknown[] = [];
    while (length--) list.push(read());
    return list;
  };
  const map = (length: number): Record<string, unknown> => {
    const entries: [string, unknown][] = [];
    while (length--) entries.push([read() as string, read()]);
    return Object.fromEntries(entries);
  };
  function read(): unknown {
    const head = uint(1);
    if (head < 0x80) return head;
    if (head < 0x90) return map(head & 15);
    if (head < 0xa0) return array(head & 15);
    if (head < 0xc0) return string(head & 31);
    if (head >= 0xe0) return head - 256;
    if (head >= 0xcc && head < 0xd0) return uint(1 << (head - 0xcc));
    if (head >= 0xd0 && head < 0xd4) return int(1 << (head - 0xd0));
    if (head >= 0xd9 && head < 0xdc) return string(uint(1 << (head - 0xd9)));
    if (head === 0xc0) return null;
    if (head === 0xc2 || head === 0xc3) return head === 0xc3;
    if (head === 0xca) return view.getFloat32((at += 4) - 4);
    if (head === 0xcb) return view.getFloat64((at += 8) - 8);
    if (head === 0xdc || head === 0xdd) return array(uint(head === 0xdc ? 2 : 4));
    if (head === 0xde || head === 0xdf) return map(uint(head === 0xde ? 2 : 4));
    throw new TypeError(`MessagePack of type 0x${head.toString(16)} is not a JSON value`);
  }
  return read();
}
