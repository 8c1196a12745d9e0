//! Mean transmission of the intergalactic medium of Inoue et al. 2014 (MNRAS 442, 1805): absorbers of the Lyman alpha
//! forest (LAF) and damped ones (DLA), each in the Lyman series and in the Lyman continuum.

/// Lyman limit, Angstrom, as in the paper's fits.
pub const LYMAN_LIMIT: f64 = 911.8;

/// A line of the Lyman series: rest wavelength in Angstrom, and the factors of the optical depth of LAF and DLA.
type Line = (f64, [f64; 3], [f64; 2]);

/// Table 2 of the paper: Lyman alpha to the 39th line.
pub const SERIES: [Line; 39] = [
    (1215.67, [0.0168976, 0.00235379, 0.000102611], [0.000161698, 5.38995e-05]),
    (1025.72, [0.00469229, 0.000653625, 2.8494e-05], [0.000154539, 5.15129e-05]),
    (972.537, [0.00223898, 0.000311884, 1.35962e-05], [0.000149767, 4.99222e-05]),
    (949.743, [0.00131901, 0.000183735, 8.00974e-06], [0.000146031, 4.86769e-05]),
    (937.803, [0.000870656, 0.00012128, 5.28707e-06], [0.000142893, 4.76312e-05]),
    (930.748, [0.000617843, 8.6064e-05, 3.75186e-06], [0.000140159, 4.67196e-05]),
    (926.226, [0.000460924, 6.42055e-05, 2.79897e-06], [0.000137714, 4.59048e-05]),
    (923.15, [0.000356887, 4.97135e-05, 2.1672e-06], [0.000135495, 4.5165e-05]),
    (920.963, [0.000284278, 3.95992e-05, 1.72628e-06], [0.000133452, 4.44841e-05]),
    (919.352, [0.000231771, 3.22851e-05, 1.40743e-06], [0.000131561, 4.38536e-05]),
    (918.129, [0.000192348, 2.67936e-05, 1.16804e-06], [0.000129785, 4.32617e-05]),
    (917.181, [0.000162155, 2.25878e-05, 9.84689e-07], [0.000128117, 4.27056e-05]),
    (916.429, [0.000138498, 1.92925e-05, 8.41033e-07], [0.00012654, 4.21799e-05]),
    (915.824, [0.000119611, 1.66615e-05, 7.2634e-07], [0.000125041, 4.16804e-05]),
    (915.329, [0.000104314, 1.45306e-05, 6.33446e-07], [0.000123614, 4.12046e-05]),
    (914.919, [9.17397e-05, 1.27791e-05, 5.57091e-07], [0.000122248, 4.07494e-05]),
    (914.576, [8.12784e-05, 1.13219e-05, 4.93564e-07], [0.000120938, 4.03127e-05]),
    (914.286, [7.25069e-05, 1.01e-05, 4.40299e-07], [0.000119681, 3.98938e-05]),
    (914.039, [6.50549e-05, 9.06198e-06, 3.95047e-07], [0.000118469, 3.94896e-05]),
    (913.826, [5.86816e-05, 8.17421e-06, 3.56345e-07], [0.000117298, 3.90995e-05]),
    (913.641, [5.31918e-05, 7.40949e-06, 3.23008e-07], [0.000116167, 3.87225e-05]),
    (913.48, [4.84261e-05, 6.74563e-06, 2.94068e-07], [0.000115071, 3.83572e-05]),
    (913.339, [4.4274e-05, 6.16726e-06, 2.68854e-07], [0.000114011, 3.80037e-05]),
    (913.215, [4.06311e-05, 5.65981e-06, 2.46733e-07], [0.000112983, 3.76609e-05]),
    (913.104, [3.73821e-05, 5.20723e-06, 2.27003e-07], [0.000111972, 3.73241e-05]),
    (913.006, [3.45377e-05, 4.81102e-06, 2.09731e-07], [0.000111002, 3.70005e-05]),
    (912.918, [3.19891e-05, 4.45601e-06, 1.94255e-07], [0.000110051, 3.66836e-05]),
    (912.839, [2.9711e-05, 4.13867e-06, 1.80421e-07], [0.000109125, 3.63749e-05]),
    (912.768, [2.76635e-05, 3.85346e-06, 1.67987e-07], [0.00010822, 3.60734e-05]),
    (912.703, [2.58178e-05, 3.59636e-06, 1.56779e-07], [0.000107337, 3.57789e-05]),
    (912.645, [2.41479e-05, 3.36374e-06, 1.46638e-07], [0.000106473, 3.54909e-05]),
    (912.592, [2.26347e-05, 3.15296e-06, 1.3745e-07], [0.000105629, 3.52096e-05]),
    (912.543, [2.12567e-05, 2.961e-06, 1.29081e-07], [0.000104802, 3.4934e-05]),
    (912.499, [1.99967e-05, 2.78549e-06, 1.2143e-07], [0.000103991, 3.46636e-05]),
    (912.458, [1.88476e-05, 2.62543e-06, 1.14452e-07], [0.000103198, 3.43994e-05]),
    (912.42, [1.77928e-05, 2.4785e-06, 1.08047e-07], [0.00010242, 3.41402e-05]),
    (912.385, [1.68222e-05, 2.3433e-06, 1.02153e-07], [0.000101657, 3.38856e-05]),
    (912.353, [1.59286e-05, 2.21882e-06, 9.67268e-08], [0.000100908, 3.36359e-05]),
    (912.324, [1.50996e-05, 2.10334e-06, 9.16925e-08], [0.000100168, 3.33895e-05]),
];

/// Optical depth of the lines that lie redward of an observed wavelength (Angstrom) towards a source at redshift `z`:
/// equations 21 and 22.
pub fn series_depth(z: f64, observed: f64) -> f64 {
    let absorbing = SERIES.iter().take_while(|line| observed < line.0 * (1.0 + z));
    absorbing
        .map(|(rest, forest, damped)| forest_line(*forest, observed / rest) + damped_line(*damped, observed / rest))
        .sum()
}

/// Equation 21, of `x` = 1 + redshift of the absorber.
fn forest_line(factors: [f64; 3], x: f64) -> f64 {
    match x {
        x if x < 2.2 => factors[0] * libm::pow(x, 1.2),
        x if x < 5.7 => factors[1] * libm::pow(x, 3.7),
        x => factors[2] * libm::pow(x, 5.5),
    }
}

/// Equation 22.
fn damped_line(factors: [f64; 2], x: f64) -> f64 {
    if x < 3.0 { factors[0] * x * x } else { factors[1] * x * x * x }
}

/// Optical depth of the Lyman continuum: 0 redward of the source's Lyman limit.
pub fn continuum_depth(z: f64, observed: f64) -> f64 {
    let (x, source) = (observed / LYMAN_LIMIT, 1.0 + z);
    if x >= source { 0.0 } else { forest_continuum(source, x) + damped_continuum(source, x) }
}

/// Equations 25 to 27, of 1 + redshift of the source and of the absorbers at whose limit the light is.
fn forest_continuum(source: f64, x: f64) -> f64 {
    let power = libm::pow;
    let near = power(x, 2.1);
    if source < 2.2 {
        0.3248 * (power(x, 1.2) - power(source, -0.9) * near)
    } else if source < 5.7 {
        let far = 2.545e-2 * power(source, 1.6) * near;
        if x < 2.2 { far + 0.3248 * power(x, 1.2) - 0.2496 * near } else { far - 2.545e-2 * power(x, 3.7) }
    } else {
        let far = 5.221e-4 * power(source, 3.4) * near;
        match x {
            x if x < 2.2 => far + 0.3248 * power(x, 1.2) - 3.140e-2 * near,
            x if x < 5.7 => far + 0.2182 * near - 2.545e-2 * power(x, 3.7),
            x => far - 5.221e-4 * power(x, 5.5),
        }
    }
}

/// Equations 28 and 29.
fn damped_continuum(source: f64, x: f64) -> f64 {
    let power = libm::pow;
    let far = power(x, -0.3);
    if source < 3.0 {
        return 0.2113 * source * source - 0.07661 * power(source, 2.3) * far - 0.1347 * x * x;
    }
    let common = 0.04696 * power(source, 3.0) - 0.01779 * power(source, 3.3) * far;
    if x < 3.0 { 0.6340 + common - 0.1347 * x * x - 0.2905 * far } else { common - 0.02916 * x * x * x }
}
