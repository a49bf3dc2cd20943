// The colours of escape sequences (ECMA-48 SGR). All other sequences are dropped.

export interface Span {
  text: string;
  color?: string; // a class `ansi-1` or a CSS colour
  bold?: boolean;
  faint?: boolean;
  italic?: boolean;
  underline?: boolean;
}

type Style = Omit<Span, "text">;

// eslint-disable-next-line no-control-regex
const SEQUENCE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g;

/** A line of a terminal as spans. Text that a carriage return overwrites is left out. */
export function parseAnsi(line: string): Span[] {
  const back = line.lastIndexOf("\r");
  const text = back >= 0 ? line.slice(back + 1) : line;
  if (!/[\x00-\x08\x0b-\x1f\x7f-\x9f]/.test(text)) return text ? [{ text }] : [];
  const spans: Span[] = [];
  let style: Style = {};
  let at = 0;
  for (const match of text.matchAll(SEQUENCE)) {
    if (match.index > at) spans.push({ text: text.slice(at, match.index), ...style });
    at = match.index + match[0].length;
    if (match[2] === "m") style = apply(style, match[1] ?? "");
  }
  if (at < text.length) spans.push({ text: text.slice(at), ...style });
  return spans;
}

/** A line without sequences. */
export function plainText(line: string): string {
  return parseAnsi(line)
    .map((span) => span.text)
    .join("");
}

function apply(before: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map((part) => (part ? Number(part) : 0));
  let style = { ...before };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i]!;
    if (code === 0) style = {};
    else if (code === 1) style.bold = true;
    else if (code === 2) style.faint = true;
    else if (code === 3) style.italic = true;
    else if (code === 4) style.underline = true;
    else if (code === 22) style.bold = style.faint = undefined;
    else if (code === 23) style.italic = undefined;
    else if (code === 24) style.underline = undefined;
    else if (code >= 30 && code <= 37) style.color = `ansi-${code - 30}`;
    else if (code >= 90 && code <= 97) style.color = `ansi-${code - 90 + 8}`;
    else if (code === 39) style.color = undefined;
    else if (code === 38 || code === 48) {
      const [color, used] = extended(codes.slice(i + 1));
      if (code === 38) style.color = color;
      i += used;
    }
  }
  return style;
}

function extended(codes: number[]): [string | undefined, number] {
  const byte = (value: number | undefined) => Math.max(0, Math.min(255, value ?? 0));
  if (codes[0] === 2) {
    return [`rgb(${byte(codes[1])} ${byte(codes[2])} ${byte(codes[3])})`, 4];
  }
  if (codes[0] !== 5) return [undefined, 0];
  const index = byte(codes[1]);
  if (index < 16) return [`ansi-${index}`, 2];
  if (index >= 232) {
    const grey = 8 + (index - 232) * 10;
    return [`rgb(${grey} ${grey} ${grey})`, 2];
  }
  const level = (value: number) => (value ? 55 + value * 40 : 0);
  const cube = index - 16;
  return [
    `rgb(${level(Math.floor(cube / 36))} ${level(Math.floor(cube / 6) % 6)} ${level(cube % 6)})`,
    2,
  ];
}
