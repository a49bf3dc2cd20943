// A treemap of the files of a layer. The table next to it has the same data.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { TreeNode } from "../documents";
import { size } from "../format";
import { squarify, type Area } from "../treemap";

const HEIGHT = 300;
const HEADER = 15;

export function Treemap({ tree, open }: { tree: TreeNode; open: (path: string) => void }) {
  const host = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = host.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return (
    <div class="treemap" ref={host} role="img" aria-label={`Treemap of ${size(tree.size)}`} style={{ height: `${HEIGHT}px` }}>
      {width > 0 && <Boxes nodes={tree.children} area={{ x: 0, y: 0, width, height: HEIGHT }} path="" depth={0} open={open} />}
    </div>
  );
}

function Boxes({ nodes, area, path, depth, open }: { nodes: TreeNode[]; area: Area; path: string; depth: number; open: (path: string) => void }) {
  return (
    <>
      {squarify(nodes.filter((node) => node.size > 0), (node) => node.size, area).map(({ item, ...box }) => {
        if (box.width < 3 || box.height < 3) return null;
        const place = path ? `${path}/${item.name}` : item.name;
        const labelled = box.width > 34 && box.height > 16;
        const inner = { x: box.x + 2, y: box.y + HEADER, width: box.width - 4, height: box.height - HEADER - 2 };
        const divided = item.children.length > 0 && inner.width > 24 && inner.height > 14;
        return (
          <>
            <div
              key={place}
              class={`box depth-${depth % 3}${item.children.length ? " folder" : ""}`}
              style={{ left: `${box.x}px`, top: `${box.y}px`, width: `${box.width - 1}px`, height: `${box.height - 1}px` }}
              title={`${place}\n${size(item.size)}`}
              onClick={() => item.children.length && open(place)}
            >
              {labelled && (
                <span>
                  {item.name} {!divided && <small>{size(item.size)}</small>}
                </span>
              )}
            </div>
            {divided && <Boxes nodes={item.children} area={inner} path={place} depth={depth + 1} open={open} />}
          </>
        );
      })}
    </>
  );
}
