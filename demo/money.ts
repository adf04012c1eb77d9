// Money and times as people read them. Amounts are integer cents; only here do they become text, and only here text becomes cents.

import { currency } from './shop.ts';

const moneyFormat = new Intl.NumberFormat(undefined, { style: 'currency', currency });
const timeFormat = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const momentFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });

export const money = (cents: number): string => moneyFormat.format(cents / 100);
export const clockTime = (ms: number): string => timeFormat.format(ms);
export const moment = (ms: number): string => momentFormat.format(ms);

export function startOfDay(ms: number): number {
  return new Date(ms).setHours(0, 0, 0, 0);
}

/** `Today`, `Yesterday`, or the day's name and date. */
export function dayName(ms: number, now: number): string {
  const day = startOfDay(ms);
  if (day === startOfDay(now)) return 'Today';
  if (day === startOfDay(startOfDay(now) - 1)) return 'Yesterday';
  return dayFormat.format(ms);
}

/** Cents of an amount a person typed, `12`, `12,5` or `12.50`; undefined when it is none. */
export function parseMoney(typed: string): number | undefined {
  const match = /^\s*(\d{1,6})(?:[.,](\d{1,2}))?\s*$/.exec(typed);
  if (match === null) return undefined;
  return Number(match[1]) * 100 + Number((match[2] ?? '').padEnd(2, '0'));
}

/** An amount as `parseMoney` reads it. */
export const typedMoney = (cents: number): string => (cents / 100).toFixed(2);

/** `1 sale`, `2 sales`. */
export const count = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
