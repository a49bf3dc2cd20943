// A document of a build: SBOMs and provenance as tables, others as JSON.
import type { AttachmentContent } from "../documents";

const NAMES: [RegExp, string][] = [
  [/slsa\.dev\/provenance/, "Provenance"],
  [/spdx\.dev/, "SBOM (SPDX)"],
  [/cyclonedx/, "SBOM (CycloneDX)"],
  [/image\.index|manifest\.list/, "Index"],
  [/manifest/, "Manifest"],
  [/config|container\.image/, "Configuration"],
];

export function attachmentName(type: string): string {
  return NAMES.find(([pattern]) => pattern.test(type))?.[1] ?? type;
}

type Json = Record<string, unknown>;

export function Attestation({ document }: { document: AttachmentContent }) {
  const statement = asObject(document.content);
  const predicate = asObject(statement.predicate ?? statement);
  const packages = asList(predicate.packages).map(asObject);
  const materials = asList(asObject(predicate.buildDefinition).resolvedDependencies ?? predicate.materials).map(asObject);
  return (
    <div class="attestation">
      {packages.length > 0 && (
        <Rows caption={`${packages.length} packages`} names={["Name", "Version", "License"]} rows={packages.map((p) => [text(p.name), text(p.versionInfo), text(p.licenseConcluded ?? p.licenseDeclared)])} />
      )}
      {materials.length > 0 && (
        <Rows caption={`${materials.length} materials`} names={["Address", "Digest"]} rows={materials.map((m) => [text(m.uri), Object.entries(asObject(m.digest)).map(([kind, value]) => `${kind}:${text(value)}`).join(" ")])} />
      )}
      <details open={!packages.length && !materials.length}>
        <summary>JSON</summary>
        <pre tabIndex={0}>{typeof document.content === "string" ? document.content : JSON.stringify(document.content, null, 2)}</pre>
      </details>
    </div>
  );
}

function Rows({ caption, names, rows }: { caption: string; names: string[]; rows: string[][] }) {
  return (
    <table>
      <caption>{caption}</caption>
      <thead>
        <tr>
          {names.map((name) => (
            <th key={name}>{name}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.slice(0, 2000).map((row, index) => (
          <tr key={index}>
            {row.map((value, column) => (
              <td key={column}>{value}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function asObject(value: unknown): Json {
  return value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Json) : {};
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function text(value: unknown): string {
  return typeof value === "string" ? value : value === undefined || value === null ? "" : JSON.stringify(value);
}
