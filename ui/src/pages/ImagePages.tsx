// The images of the store, and one image: its layers, what they add, hide and waste.
import { useEffect, useMemo } from "preact/hooks";
import { useApi } from "../api";
import { Copy, Empty, Fact, Failure, Loading, Section } from "../components/Basics";
import { Treemap } from "../components/Treemap";
import type { Image, Images, Layer, LayerFiles } from "../documents";
import { ago, count, percent, shortDigest, size } from "../format";
import { go, href, type Address } from "../router";

export function ImagesPage() {
  const { data, error } = useApi<Images>("/api/images");
  useEffect(() => {
    document.title = "Images – lamina";
  }, []);
  if (error) return <Failure error={error} />;
  if (!data) return <Loading what="images" />;
  const now = Date.now() / 1000;
  return (
    <div class="images">
      <h1>Images</h1>
      {data.images.length ? (
        <table class="list">
          <thead>
            <tr>
              <th>Name</th>
              <th class="wide">Digest</th>
              <th class="wide">Platform</th>
              <th class="right">Size</th>
              <th class="right">Created</th>
            </tr>
          </thead>
          <tbody>
            {data.images.map((image) => (
              <tr key={image.name + image.digest}>
                <td class="name">
                  <a href={href(["images", image.digest])}>{image.name || shortDigest(image.digest)}</a>
                </td>
                <td class="wide">
                  <code>{shortDigest(image.digest)}</code>
                </td>
                <td class="wide">{image.platform}</td>
                <td class="right">{size(image.size)}</td>
                <td class="right">{ago(image.created, now)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : (
        <Empty>The store has no images.</Empty>
      )}
    </div>
  );
}

export function ImagePage({ address }: { address: Address }) {
  const digest = address.path[1] ?? "";
  const path = `/api/images/${encodeURIComponent(digest)}`;
  const { data: image, error } = useApi<Image>(path);
  const names = useApi<Images>("/api/images");
  const number = Number(address.query.layer ?? 0);
  const folder = address.query.path ?? "";
  const largest = useMemo(() => image?.layers.reduce<Layer | null>((a, b) => (a && a.content >= b.content ? a : b), null), [image]);
  const layer = image?.layers.find((one) => one.number === number) ?? largest;
  const title = names.data?.images.find((one) => one.digest === digest)?.name || image?.name || "image";
  useEffect(() => {
    document.title = `${title} – lamina`;
  }, [title]);
  if (error) return <Failure error={error} />;
  if (!image) return <Loading what="the image" />;
  const open = (next: number, place: string) => go(href(["images", digest], { layer: next, path: place }), true);
  return (
    <div class="image">
      <div class="title">
        <h1>{title}</h1>
        <span class="spacer" />
        <a class="action" href={href(["builds"], { q: title })}>
          Its builds
        </a>
      </div>
      <p class="quiet meta">
        <code>{shortDigest(image.digest)}</code> <Copy text={image.digest} what="the digest" /> · {image.platform}
      </p>
      <dl class="figures">
        <Fact name="Compressed">{size(image.size)}</Fact>
        <Fact name="Files">{size(image.content)}</Fact>
        <Fact name="Wasted">
          {size(image.wasted)} <small>{percent(image.wasted, image.content)}</small>
        </Fact>
        <Fact name="Layers">{image.layers.length}</Fact>
        <Fact name="Packages">{image.packages.length}</Fact>
      </dl>
      <Section title="Layers">
        <table class="layers">
          <thead>
            <tr>
              <th>Layer</th>
              <th class="wide">Share</th>
              <th class="right">Adds</th>
              <th class="right">Hides</th>
              <th class="right">Wastes</th>
              <th class="right wide">Repeats</th>
              <th class="right wide">Compressed</th>
            </tr>
          </thead>
          <tbody>
            {image.layers.map((one) => (
              <tr key={one.number} class={one === layer ? "chosen" : undefined}>
                <td class="name">
                  <button type="button" class="link" aria-pressed={one === layer} onClick={() => open(one.number, "")}>
                    {one.number}. <code>{one.step || shortDigest(one.digest)}</code>
                  </button>
                </td>
                <td class="wide share">
                  <i style={{ width: `${(one.content / (largest?.content || 1)) * 100}%` }} aria-hidden="true" />
                </td>
                <td class="right" title={count(one.files, "file")}>
                  {size(one.content)}
                </td>
                <td class="right">{one.hidden ? size(one.hidden) : "–"}</td>
                <td class={`right${one.wasted ? " slower" : ""}`}>{one.wasted ? size(one.wasted) : "–"}</td>
                <td class="right wide">{one.repeated ? size(one.repeated) : "–"}</td>
                <td class="right wide">{size(one.size)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Section>
      {layer && (
        <Section title={`Files of layer ${layer.number}`} aside={<span class="quiet">{count(layer.files, "file")}, {size(layer.content)}{layer.deleted ? `, ${layer.deleted} deleted` : ""}</span>}>
          {layer.tree.size > 0 && <Treemap key={layer.number} tree={layer.tree} open={(place) => open(layer.number, place)} />}
          <Files path={`${path}/files?${new URLSearchParams({ layer: String(layer.number), path: folder })}`} folder={folder} open={(place) => open(layer.number, place)} />
        </Section>
      )}
      {image.wastedFiles.length > 0 && (
        <Section title="Wasted space">
          <table>
            <thead>
              <tr>
                <th>Path</th>
                <th class="right">Layers</th>
                <th class="right">Hidden</th>
              </tr>
            </thead>
            <tbody>
              {image.wastedFiles.map((file) => (
                <tr key={file.path}>
                  <td>
                    <code>/{file.path}</code>
                  </td>
                  <td class="right">{file.layers.join(", ")}</td>
                  <td class="right">{size(file.bytes)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Section>
      )}
      <Section title="Packages">
        {image.packages.length ? (
          <table>
            <thead>
              <tr>
                <th>Manager</th>
                <th>Name</th>
                <th>Version</th>
              </tr>
            </thead>
            <tbody>
              {image.packages.slice(0, 3000).map((one) => (
                <tr key={one.kind + one.name + one.version}>
                  <td>{one.kind}</td>
                  <td>{one.name}</td>
                  <td>{one.version}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <Empty>No package manager of the image lists packages.</Empty>
        )}
      </Section>
      <Section title="Configuration">
        <pre tabIndex={0} class="json">
          {JSON.stringify(image.config, null, 2)}
        </pre>
      </Section>
    </div>
  );
}

function Files({ path, folder, open }: { path: string; folder: string; open: (place: string) => void }) {
  const { data, error } = useApi<LayerFiles>(path);
  if (error) return <Failure error={error} />;
  if (!data) return <Loading what="files" />;
  const parts = folder ? folder.split("/") : [];
  return (
    <>
      <p class="crumbs">
        <button type="button" class="link" onClick={() => open("")}>
          /
        </button>
        {parts.map((part, index) => (
          <button key={index} type="button" class="link" onClick={() => open(parts.slice(0, index + 1).join("/"))}>
            {part}/
          </button>
        ))}
      </p>
      <table>
        <thead>
          <tr>
            <th>Name</th>
            <th class="wide">Mode</th>
            <th class="wide">Owner</th>
            <th class="right">Size</th>
          </tr>
        </thead>
        <tbody>
          {data.entries.slice(0, 500).map((entry) => (
            <tr key={entry.name + entry.kind}>
              <td>
                {entry.kind === "directory" ? (
                  <button type="button" class="link" onClick={() => open(folder ? `${folder}/${entry.name}` : entry.name)}>
                    {entry.name}/
                  </button>
                ) : (
                  entry.name
                )}{" "}
                {entry.kind !== "file" && entry.kind !== "directory" && <span class={entry.kind === "deleted" ? "slower" : "quiet"}>{entry.kind}</span>}
              </td>
              <td class="wide">
                <code>{entry.mode}</code>
              </td>
              <td class="wide">{entry.owner}</td>
              <td class="right">{entry.kind === "deleted" ? "–" : size(entry.size)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
