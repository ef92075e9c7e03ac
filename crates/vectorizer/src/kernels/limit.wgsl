// What the kernels that multiply matrices of half floats say of a row or a query instead of a figure. Figures are below 2^100.

// The value of a row of which nothing is proven: it is always looked at. And of a row that is none.
const ALWAYS: f32 = -3.0e38;
const NEVER: f32 = 3.0e38;
// The limit of a query that has not met enough rows yet, and of one whose answer is not proven.
const NO_LIMIT: f32 = 1.0e38;
const GIVEN_UP: f32 = -3.3e38;

// See `exact_products`: n there is at most 4 PARTS.
const HALVES_ERROR: f32 = 5.0 * f32(4u * PARTS + 64u) / 16777216.0;
const SQUARE_ERROR: f32 = f32(4u * PARTS + 64u) / 16777216.0;
