/** Templates: `html` makes virtual nodes of tagged template strings, with no step that compiles them. */
import htm from "htm";
import { h, type ComponentChild, type VNode } from "preact";

export const html = htm.bind(h) as (strings: TemplateStringsArray, ...values: unknown[]) => VNode;
export type Child = ComponentChild;
