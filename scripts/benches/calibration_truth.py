"""The calibration of a simulated exposure against its truth: the figures of docs/algorithms/calibration.md.

usage: calibration_truth.py RAW/truth/NIGHT SCIENCE-EXPID FLAT-EXPID PRODUCTS [SPECTROGRAPH]

PRODUCTS is a folder of frame-, fiberflat-, sky-, calib-, cframe- and sframe-CAMERA.fits of the science exposure (the frame of the
flat is not needed). Needs numpy and astropy.
"""

import sys

import numpy as np
from astropy.io import fits

# O2 and H2O: the simulator's calibration has them, a median over 100 Angstrom does not
TELLURIC = [(6270, 6340), (6850, 7000), (7150, 7350), (7580, 7720), (8100, 8400), (8900, 9250), (9250, 9800)]
# rms that does not average out, in the error of a flat
FLAT_SYSTEMATIC = 0.0035


def rebin(wave, fine, spectra):
    """Means over the bins around `wave` of spectra at evenly spaced `fine` wavelengths."""
    step, half = fine[1] - fine[0], 0.5 * (wave[1] - wave[0])
    edges = np.append(fine - 0.5 * step, fine[-1] + 0.5 * step)
    total = np.cumsum(np.atleast_2d(spectra).astype(float), axis=1) * step
    total = np.insert(total, 0, 0.0, axis=1)
    return np.array([np.interp(wave + half, edges, t) - np.interp(wave - half, edges, t) for t in total]) / (2 * half)


def through(resolution, spectrum):
    """A resolution matrix, stored by diagonals, times a spectrum."""
    ndiag, n = resolution.shape
    out = np.zeros(n)
    for k, offset in enumerate(range(ndiag // 2, -(ndiag // 2) - 1, -1)):
        values = resolution[k] * spectrum
        if offset >= 0:
            out[: n - offset] += values[offset:]
        else:
            out[-offset:] += values[: n + offset]
    return out


def windows(wave, values):
    """Wavelength and values of each full window of 100 Angstrom."""
    for start in np.arange(np.ceil(wave[0] / 100) * 100, wave[-1] - 99, 100):
        inside = (wave >= start) & (wave < start + 100)
        yield start, values[..., inside]


def brightest(sky, number=50):
    """Peaks of the sky's brightest lines, at least 5 bins apart."""
    continuum = np.array([np.median(sky[max(0, i - 60) : i + 60]) for i in range(len(sky))])
    found = []
    for i in np.argsort(continuum - sky):
        if 3 <= i < len(sky) - 3 and all(abs(i - j) >= 5 for j in found):
            found.append(i)
        if len(found) == number:
            break
    return found


def pulls(product, expected):
    """(flux - expected) over its error, NaN where masked."""
    flux, ivar = product[0].data.astype(float), product["IVAR"].data.astype(float)
    good = (ivar > 0) & (product["MASK"].data == 0)
    return np.where(good, (flux - expected) * np.sqrt(np.where(good, ivar, 0)), np.nan)


def flat(camera, products, wave, true_flat):
    product = fits.open(f"{products}/fiberflat-{camera}.fits")
    value, ivar = product[0].data.astype(float), product["IVAR"].data.astype(float)
    good = (product["MASK"].data == 0) & (ivar > 0) & (true_flat > 0)
    error = np.sqrt(np.maximum(np.where(good, 1 / np.where(good, ivar, 1), 1) - (FLAT_SYSTEMATIC * value) ** 2, 1e-12))
    value, true_flat = (np.where(good, x, np.nan) for x in (value, true_flat))
    common = np.nanmedian(value / true_flat, axis=0)
    rms = [np.sqrt(np.nanmean(((v - true_flat) / error) ** 2)) for v in (value, value / common)]
    print(f"{camera} flat: rms over its statistical error {rms[0]:.3f}, each wavelength normalised {rms[1]:.3f}")


def sky(camera, products, wave, rows):
    q = pulls(fits.open(f"{products}/sframe-{camera}.fits"), 0.0)[rows]
    widths = [np.nanstd(w) for _, w in windows(wave, q)]
    lines = brightest(np.median(fits.getdata(f"{products}/sky-{camera}.fits", 0), axis=0))
    of_line = [q[:, i - 2 : i + 3] for i in lines]
    pooled, worst = np.nanstd(np.concatenate(of_line, axis=None)), max(np.nanstd(x) for x in of_line)
    print(f"{camera} sky fibres: pulls {np.nanstd(q):.3f}, of 100 Angstrom {min(widths):.3f} to {max(widths):.3f}", end="")
    print(f", 50 brightest lines {pooled:.3f}, worst {worst:.3f}")


def calibration(camera, products, wave, resolution, true_calibration, rows):
    product = fits.open(f"{products}/calib-{camera}.fits")
    good = (product["IVAR"].data > 0) & (product["MASK"].data == 0)
    one = np.ones(len(wave))
    ratios = []
    # the true one is that of the median offset of the fibres that look at points
    for row in rows:
        seen = through(resolution[row], true_calibration) / np.maximum(through(resolution[row], one), 0.1)
        ratios.append(np.where(good[row], product[0].data[row] / seen, np.nan))
    ratio = np.nanmedian(ratios, axis=0)
    clear = ~np.any([(wave >= a) & (wave < b) for a, b in TELLURIC], axis=0)
    median = np.nanmedian(ratio[clear & (wave >= 3700) & (wave <= 9700)])
    start, worst = max(((a, np.nanmedian(w)) for a, w in windows(wave, ratio)), key=lambda x: abs(x[1] - 1))
    print(f"{camera} calibration over truth: median {median:.4f}, worst 100 Angstrom {worst:.4f} at {start:.0f}")


def calibrated(camera, products, wave, true_flux, truth, rows):
    product = fits.open(f"{products}/cframe-{camera}.fits")
    resolution = product["RESOLUTION"].data.astype(float)
    expected = np.zeros((len(resolution), len(wave)))
    for row in rows:
        expected[row] = through(resolution[row], true_flux[row])
    q = pulls(product, expected)
    widths = np.nanstd(q[rows], axis=1)
    standards = [row for row in rows if truth["CLASS"][row] == "STD"]
    low, high = np.percentile(widths, [5, 95])
    print(f"{camera} flux, r < 22: pulls {np.nanmean(q[rows]):+.3f}, {np.nanstd(q[rows]):.3f}", end="")
    print(f", over {len(rows)} fibres {low:.3f} to {high:.3f} (5 and 95 %), standards {np.nanstd(q[standards]):.3f}")


def main():
    folder, science, flat_expid, products = sys.argv[1:5]
    spectrograph = sys.argv[5] if len(sys.argv) > 5 else "0"
    truth = fits.getdata(f"{folder}/truth-{science}.fits", "TRUTH")
    for camera in (band + spectrograph for band in "brz"):
        frame = fits.open(f"{products}/frame-{camera}.fits")
        wave, resolution = frame["WAVELENGTH"].data, frame["RESOLUTION"].data.astype(float)
        live = ~truth["DEAD"] & (frame["FIBERMAP"].data["FIBERSTATUS"] == 0)
        targets = live & ~np.isin(truth["CLASS"], ["SKY", "NONE"])
        bright = targets & (truth["MAG_R"] < 22)
        of_flat = fits.open(f"{folder}/spectra-{camera}-{flat_expid}.fits")
        of_science = fits.open(f"{folder}/spectra-{camera}-{science}.fits")
        fine = of_science["WAVELENGTH"].data
        flat(camera, products, wave, rebin(wave, of_flat["WAVELENGTH"].data, of_flat["THROUGHPUT"].data))
        sky(camera, products, wave, np.where(live & (truth["CLASS"] == "SKY"))[0])
        true_calibration = rebin(wave, fine, of_science["CALIBRATION"].data)[0]
        calibration(camera, products, wave, resolution, true_calibration, np.where(targets)[0])
        calibrated(camera, products, wave, rebin(wave, fine, of_science["FLUX"].data), truth, np.where(bright)[0])


if __name__ == "__main__":
    main()
