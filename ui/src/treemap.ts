// A squarified treemap (Bruls, Huizing, van Wijk 2000): areas in proportion, sides near a square.

export interface Area {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface Placed<T> extends Area {
  item: T;
}

/** Place items in an area. Their sizes are above 0, the largest first. */
export function squarify<T>(items: T[], size: (item: T) => number, area: Area): Placed<T>[] {
  const total = items.reduce((sum, item) => sum + size(item), 0);
  if (total <= 0 || area.width <= 0 || area.height <= 0) return [];
  const scale = (area.width * area.height) / total;
  const placed: Placed<T>[] = [];
  let { x, y, width, height } = area;
  let row: T[] = [];
  let rowSize = 0;
  const worst = (sizes: number[], sum: number, side: number) =>
    Math.max((side * side * sizes[0]!) / (sum * sum), (sum * sum) / (side * side * sizes[sizes.length - 1]!));
  const flush = () => {
    const across = width < height;
    const side = across ? width : height;
    const depth = rowSize / side;
    let at = 0;
    for (const item of row) {
      const length = (size(item) * scale) / depth;
      placed.push(across ? { item, x: x + at, y, width: length, height: depth } : { item, x, y: y + at, width: depth, height: length });
      at += length;
    }
    if (across) {
      y += depth;
      height -= depth;
    } else {
      x += depth;
      width -= depth;
    }
    row = [];
    rowSize = 0;
  };
  for (const item of items) {
    const amount = size(item) * scale;
    const side = Math.min(width, height);
    const sizes = row.map((one) => size(one) * scale);
    if (row.length && worst([...sizes, amount], rowSize + amount, side) > worst(sizes, rowSize, side)) flush();
    row.push(item);
    rowSize += amount;
  }
  if (row.length) flush();
  return placed;
}
