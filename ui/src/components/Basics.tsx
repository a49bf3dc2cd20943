// Small parts that all pages use.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import type { ApiError } from "../api";

export function Failure({ error }: { error: ApiError }) {
  return (
    <div class="notice failure" role="alert">
      <strong>{error.message}</strong>
      {error.hint && <span> {error.hint}</span>}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p class="quiet loading" role="status">
      Loading {what} …
    </p>
  );
}

export function Empty({ children }: { children: ComponentChildren }) {
  return <p class="quiet empty">{children}</p>;
}

export function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** Copies a text. */
export function Copy({ text, what }: { text: string; what: string }) {
  const [done, setDone] = useState(false);
  const copy = () => {
    void navigator.clipboard?.writeText(text).then(() => {
      setDone(true);
      setTimeout(() => setDone(false), 1200);
    });
  };
  return (
    <button type="button" class="copy" onClick={copy} aria-label={`Copy ${what}`} title={`Copy ${what}`}>
      {done ? "copied" : "copy"}
    </button>
  );
}

export interface TabItem {
  name: string;
  label: string;
  href: string;
  note?: string;
}

/** Links to the views of a page. */
export function Tabs({ items, current, label }: { items: TabItem[]; current: string; label: string }) {
  return (
    <nav class="tabs" aria-label={label}>
      {items.map((item) => (
        <a key={item.name} href={item.href} aria-current={item.name === current ? "page" : undefined}>
          {item.label}
          {item.note && <span class="note">{item.note}</span>}
        </a>
      ))}
    </nav>
  );
}

/** A part of a page with a heading. */
export function Section({ title, aside, children }: { title: string; aside?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="section">
      <header>
        <h2>{title}</h2>
        {aside}
      </header>
      {children}
    </section>
  );
}
