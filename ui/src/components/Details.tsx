// The inputs and outputs of a build, its attestations, and warnings.
import { useState } from "preact/hooks";
import { buildPath, useApi } from "../api";
import type { AttachmentContent, Build } from "../documents";
import { shortDigest, size } from "../format";
import { Copy, Empty, Failure, Loading, Section } from "./Basics";
import { Attestation, attachmentName } from "./Attestation";

export function Details({ build }: { build: Build }) {
  const [opened, setOpened] = useState<string | null>(null);
  return (
    <div class="details">
      <Section title="Outputs">
        {build.outputs.length ? (
          <table>
            <thead>
              <tr>
                <th>Kind</th>
                <th>Name</th>
                <th>Digest</th>
                <th class="right">Size</th>
              </tr>
            </thead>
            <tbody>
              {build.outputs.map((output, index) => (
                <tr key={index}>
                  <td>{output.kind}</td>
                  <td>{output.name || "–"}</td>
                  <td>
                    {output.digest ? (
                      <>
                        <code>{shortDigest(output.digest)}</code> <Copy text={output.digest} what="the digest" />
                      </>
                    ) : (
                      "–"
                    )}
                  </td>
                  <td class="right">{size(output.size)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <Empty>The build has no outputs.</Empty>
        )}
      </Section>
      <Section title="Sources">
        {build.materials.length ? (
          <table>
            <thead>
              <tr>
                <th>Address</th>
                <th>Digest</th>
              </tr>
            </thead>
            <tbody>
              {build.materials.map((material) => (
                <tr key={material.uri}>
                  <td>{material.uri}</td>
                  <td>
                    {material.digests.map((digest) => (
                      <code key={digest}>{digest.slice(0, 19)}…</code>
                    ))}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        ) : (
          <Empty>The build read no image, repository or URL.</Empty>
        )}
      </Section>
      <Section title="Request">
        <table>
          <tbody>
            {build.inputs.map((input) => (
              <tr key={input.name}>
                <th scope="row">{input.name}</th>
                <td>{input.value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Section>
      {build.warnings.length > 0 && (
        <Section title="Warnings">
          <ul class="plain">
            {build.warnings.map((warning, index) => (
              <li key={index}>
                {warning.lines && <code>line {warning.lines.first}</code>} {warning.text}
                {warning.detail.map((line) => (
                  <div key={line} class="quiet">
                    {line}
                  </div>
                ))}
              </li>
            ))}
          </ul>
        </Section>
      )}
      <Section title="Attestations and documents">
        {build.attachments.length ? (
          <ul class="plain attachments">
            {build.attachments.map((one) => (
              <li key={one.digest + one.type}>
                <button type="button" class="link" aria-expanded={opened === one.digest} onClick={() => setOpened(opened === one.digest ? null : one.digest)}>
                  {attachmentName(one.type)}
                </button>{" "}
                <span class="quiet">
                  {one.platform} {shortDigest(one.digest)}
                </span>
                {opened === one.digest && <Opened reference={build.row.ref} digest={one.digest} />}
              </li>
            ))}
          </ul>
        ) : (
          <Empty>The store has none of this build.</Empty>
        )}
      </Section>
    </div>
  );
}

function Opened({ reference, digest }: { reference: string; digest: string }) {
  const { data, error } = useApi<AttachmentContent>(buildPath(reference, "attachments", digest));
  if (error) return <Failure error={error} />;
  if (!data) return <Loading what="the document" />;
  return <Attestation document={data} />;
}
