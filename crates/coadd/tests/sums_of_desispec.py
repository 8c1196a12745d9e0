"""sums_of_desispec.py PROGRAM FOLDER: makes spectra of several exposures, lets PROGRAM (desi_coadd) and desispec sum them, and
prints the largest differences, in sigmas of the sum; exits with 1 if any is beyond rounding."""
import subprocess, sys
import numpy as np
from astropy.table import Table
from desispec.coaddition import coadd, coadd_cameras
from desispec.io import read_spectra, write_spectra
from desispec.spectra import Spectra

program, folder = sys.argv[1:3]
rng = np.random.default_rng(5)
ntarget, nexp, ndiag = 8, 5, 11
n = ntarget * nexp
# DESI's grids, cut: overlaps of 51 and 126 bins
whole = 3600 + 0.8 * np.arange(7781)
grids = {"b": whole[2500:2751], "r": whole[2700:5026], "z": whole[4900:5400]}
fibermap = Table({
    "TARGETID": np.repeat(np.arange(ntarget) + 39627000000000000, nexp), "FIBER": np.arange(n, dtype="i4"),
    "FIBERSTATUS": np.zeros(n, "i4"), "OBJTYPE": np.full(n, "TGT"), "DESI_TARGET": rng.integers(0, 8, n),
    "TARGET_RA": np.zeros(n), "TARGET_DEC": np.zeros(n), "FIBER_RA": rng.normal(0, 1e-4, n) % 360, "FIBER_DEC": rng.normal(30, 1e-4, n),
    "DELTA_X": rng.normal(0, 0.01, n), "DELTA_Y": rng.normal(0, 0.01, n),
    "NIGHT": np.tile(np.array([1, 1, 2, 2, 3], "i4") + 20260100, ntarget), "EXPID": np.tile(np.arange(nexp, dtype="i4"), ntarget),
    "MJD": np.tile(np.arange(nexp) + 61000.5, ntarget), "TILEID": np.full(n, 7, "i4"), "EXPTIME": rng.uniform(500, 1000, n),
})
# exposures that are not used, in all bands or in one, and a target without any
fibermap["FIBERSTATUS"][3] = 1 << 16
fibermap["FIBERSTATUS"][7] = 1 << 23
fibermap["FIBERSTATUS"][10:15] = 1 << 17
flux, ivar, mask, resolution = {}, {}, {}, {}
for band, wave in grids.items():
    ivar[band] = rng.uniform(0.5, 2.0, (n, wave.size)).astype("f4")
    flux[band] = (np.sin(wave / 30) + rng.normal(0, 1, (n, wave.size)) / np.sqrt(ivar[band])).astype("f4")
    mask[band] = np.where(rng.random((n, wave.size)) < 0.03, 4, 0).astype("u4")
    mask[band][:, 90:93] = 16
    ivar[band][:, 100] = 0
    hits = rng.random((n, wave.size)) < 0.003
    flux[band][hits] += 40
    profile = np.exp(-0.5 * ((np.arange(ndiag) - ndiag // 2) / rng.uniform(1.2, 1.8, (n, 1))) ** 2)
    profile /= profile.sum(axis=1)[:, None]
    resolution[band] = np.repeat(profile[:, :, None], wave.size, axis=2).astype("f4")
scores = Table({"TARGETID": fibermap["TARGETID"], "TSNR2_ELG_B": rng.random(n).astype("f4"), "TSNR2_ELG_R": rng.random(n).astype("f4")})
spectra = Spectra(bands=list("brz"), wave=grids, flux=flux, ivar=ivar, mask=mask, resolution_data=resolution, fibermap=fibermap, scores=scores)
source = f"{folder}/spectra.fits"
write_spectra(source, spectra)

worst = {}
def compare(what, ours, theirs, limit):
    difference = np.max(np.abs(np.asarray(ours, float) - np.asarray(theirs, float)), initial=0)
    worst[what] = (difference, limit)

def same_band(name, ours, theirs, band, good):
    sigma = np.sqrt(np.where(theirs.ivar[band] > 0, theirs.ivar[band], 0))
    compare(f"{name} {band} flux (sigma)", ((ours.flux[band] - theirs.flux[band]) * sigma)[good], 0, 1e-4)
    compare(f"{name} {band} ivar (relative)", (ours.ivar[band] / np.where(good, theirs.ivar[band], 1))[good & (theirs.ivar[band] > 0)], 1, 1e-5)
    compare(f"{name} {band} good bins", (ours.mask[band] == 0)[good], (theirs.mask[band] == 0)[good], 0)
    # entries beyond the matrix mean nothing
    inside = np.ones_like(theirs.resolution_data[band], bool)
    half, size = ndiag // 2, inside.shape[2]
    for k in range(ndiag):
        row = np.arange(size) + k - half
        inside[:, k, (row < 0) | (row >= size)] = False
    inside &= good[:, None, :]
    compare(f"{name} {band} resolution", np.where(inside, ours.resolution_data[band] - theirs.resolution_data[band], 0), 0, 1e-6)

for cameras in (False, True):
    out = f"{folder}/coadd-{cameras}.fits"
    subprocess.run([program, "-i", source, "-o", out, "--onetile"] + (["--coadd-cameras"] if cameras else []), check=True, stderr=subprocess.DEVNULL)
    ours, theirs = read_spectra(out), read_spectra(source)
    coadd(theirs, onetile=True)
    if not cameras:
        for band in "brz":
            # where nothing is known, only we say so in the mask
            same_band("exposures", ours, theirs, band, theirs.ivar[band] > 0)
            assert np.all((ours.ivar[band] == 0) == (theirs.ivar[band] == 0))
            assert np.all(ours.mask[band][ours.ivar[band] == 0] != 0)
        for name in theirs.fibermap.colnames:
            if theirs.fibermap[name].dtype.kind in "iuf":
                compare(f"FIBERMAP {name}", ours.fibermap[name], theirs.fibermap[name], 2e-4 if name.startswith("STD") else 1e-6)
        for name in theirs.exp_fibermap.colnames:
            compare(f"EXP_FIBERMAP {name}", ours.exp_fibermap[name], theirs.exp_fibermap[name], 0)
        for name in ("TSNR2_ELG_B", "TSNR2_ELG"):
            assert name in ours.scores.colnames
    else:
        band = "brz"
        theirs = coadd_cameras(theirs)
        assert ours.bands == [band] and np.allclose(ours.wave[band], theirs.wave[band])
        # bins that are masked in one of two bands are ours without it; their resolution wraps at the ends of a band
        clean = np.ones_like(theirs.flux[band], bool)
        edges = [w for wave in grids.values() for w in (wave[0], wave[-1])]
        for w in edges:
            clean[:, np.abs(theirs.wave[band] - w) < 0.8 * ndiag] = False
        dirty = np.zeros_like(clean)
        per_band = read_spectra(f"{folder}/coadd-False.fits")
        for b, wave in grids.items():
            start = np.argmin(np.abs(theirs.wave[band] - wave[0]))
            dirty[:, start:start + wave.size] |= per_band.mask[b] != 0
        near = np.array([np.convolve(row, np.ones(ndiag + 2), "same") > 0 for row in dirty])
        same_band("cameras", ours, theirs, band, clean & ~near & (theirs.ivar[band] > 0))

bad = {what: w for what, w in worst.items() if not w[0] <= w[1]}
for what, (difference, limit) in worst.items():
    print(f"{what:40s} {difference:.3g} (limit {limit:g})")
sys.exit(bool(bad))
