// A line of a log: always text, whatever it contains.
import { parseAnsi, type Span } from "../ansi";

export function LogText({ text, wanted = "" }: { text: string; wanted?: string }) {
  const spans = parseAnsi(text);
  return (
    <span class="text">
      {spans.map((span, index) => {
        const classes = [
          span.color?.startsWith("ansi-") ? span.color : "",
          span.bold ? "bold" : "",
          span.faint ? "faint" : "",
          span.italic ? "italic" : "",
          span.underline ? "underline" : "",
        ].filter(Boolean);
        const style = span.color && !span.color.startsWith("ansi-") ? { color: span.color } : undefined;
        return (
          <span key={index} class={classes.join(" ") || undefined} style={style}>
            {wanted ? <Marked span={span} wanted={wanted} /> : span.text}
          </span>
        );
      })}
    </span>
  );
}

function Marked({ span, wanted }: { span: Span; wanted: string }) {
  const parts = [];
  const lower = span.text.toLowerCase();
  let at = 0;
  for (let found = lower.indexOf(wanted); found >= 0; found = lower.indexOf(wanted, at)) {
    parts.push(span.text.slice(at, found));
    parts.push(<mark key={found}>{span.text.slice(found, found + wanted.length)}</mark>);
    at = found + wanted.length;
  }
  parts.push(span.text.slice(at));
  return <>{parts}</>;
}
