/** The ends of lists of numbers, however long: a call has no place for so many arguments. */

/** The least and the greatest; of none, what is given, else infinities. @param {Iterable<number>} values @param {[number, number]} [ends] @returns {[number, number]} */
export function extent(values, [low, high] = [Infinity, -Infinity]) {
  let [least, most] = [low, high];
  for (const value of values) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  return [least, most];
}
