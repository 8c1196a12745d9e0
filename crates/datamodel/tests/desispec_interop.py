"""Reads every product with desispec, dumps the arrays that desispec sees as raw float64, and writes the product
again with desispec.

usage: desispec_interop.py FOLDER-OF-OUR-FILES OUTPUT-FOLDER
"""

import os
import sys
import types
import warnings

import numpy as np
from astropy import units
from astropy.io import fits
from astropy.table import Table


class TraceSet:
    """Stands for specter's class of that name, which desispec's reader of PSF files uses and PyPI does not have."""

    def __init__(self, coeff, domain):
        self._coeff, self.domain = coeff, domain

    def eval(self, fiber, wave):
        low, high = self.domain
        return np.polynomial.legendre.legval(2 * (wave - low) / (high - low) - 1, self._coeff[fiber])


try:
    import specter.util.traceset
except ImportError:
    for name in ["specter", "specter.util", "specter.util.traceset"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["specter.util.traceset"].TraceSet = TraceSet

import desispec.io as io
from desispec.io.xytraceset import read_xytraceset, write_xytraceset

ours, theirs = sys.argv[1:3]


def path(name):
    return os.path.join(ours, name)


def out(name):
    return os.path.join(theirs, name)


def dump(name, array):
    np.ascontiguousarray(array, dtype="<f8").tofile(out(name + ".f64"))


def verify_standard_conformance():
    """Sums, structure and units of every HDU, by astropy."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in sorted(os.listdir(ours)):
            with fits.open(path(name)) as hdus:
                for hdu in hdus:
                    hdu.data  # as an image where it is compressed
            with fits.open(path(name), checksum=True, disable_image_compression=True) as hdus:
                hdus.verify("exception")
                for hdu in hdus:
                    assert "CHECKSUM" in hdu.header and "DATASUM" in hdu.header, (name, hdu.name)
                    assert "DATE" not in hdu.header, (name, hdu.name)
                    units.Unit(hdu.header.get("BUNIT", ""))


def planes(name, product, attributes):
    for attribute in attributes:
        dump(f"{name}-{attribute}", getattr(product, attribute))


def main():
    verify_standard_conformance()

    image = io.read_image(path("image.fits"))
    planes("image", image, ["pix", "ivar", "mask", "readnoise"])
    assert image.camera == "r0" and image.meta["EXPID"] == 51060
    image.fibermap = Table(fits.getdata(path("image.fits"), "FIBERMAP"))
    io.write_image(out("image.fits"), image)

    for name in ["frame", "cframe"]:
        frame = io.read_frame(path(f"{name}.fits"))
        assert frame.vet() == 0
        planes(name, frame, ["wave", "flux", "ivar", "mask", "resolution_data", "chi2pix", "fibers"])
        dump(f"{name}-R", np.array([r.toarray() for r in frame.R]))
        assert frame.meta["IN_PSF"].startswith("/a/long/path/") and len(frame.meta["IN_PSF"]) > 150
        io.write_frame(out(f"{name}.fits"), frame)

    flat = io.read_fiberflat(path("fiberflat.fits"))
    planes("fiberflat", flat, ["wave", "fiberflat", "ivar", "mask", "meanspec"])
    io.write_fiberflat(out("fiberflat.fits"), flat)

    sky = io.read_sky(path("sky.fits"))
    planes("sky", sky, ["wave", "flux", "ivar", "mask", "stat_ivar", "throughput_corrections"])
    io.write_sky(out("sky.fits"), sky)

    calib = io.read_flux_calibration(path("fluxcalib.fits"))
    planes("fluxcalib", calib, ["wave", "calib", "ivar", "mask"])
    dump("fluxcalib-fibercorr", [calib.fibercorr["FLAT_TO_PSF_FLUX"], calib.fibercorr["PSF_TO_FIBER_FLUX"]])
    calib.fibercorr = Table(calib.fibercorr)
    io.write_flux_calibration(out("fluxcalib.fits"), calib, header=calib.header)

    flux, wave, fibers, metadata = io.read_stdstar_models(path("stdstars.fits"))
    dump("stdstars-flux", flux)
    dump("stdstars-wave", wave)
    dump("stdstars-fibers", fibers)
    dump("stdstars-teff", metadata["TEFF"])
    data = Table(metadata)
    data["COEFF"] = fits.getdata(path("stdstars.fits"), "COEFF").astype(float)
    tables = [Table(fits.getdata(path("stdstars.fits"), name)) for name in ["FIBERMAP", "INPUT_FRAMES"]]
    io.write_stdstar_models(out("stdstars.fits"), flux, wave, fibers, data, *tables)

    fibermap = io.read_fibermap(path("fibermap.fits"))
    assert list(fibermap["FIBER"]) == list(range(10)) and fibermap.meta["TILEID"] == 80693
    assert fibermap["OBJTYPE"][1] in ("SKY", b"SKY")

    spectra = io.read_spectra(path("spectra.fits"))
    assert spectra.bands == ["b", "r", "z"]
    for band in spectra.bands:
        for attribute in ["wave", "flux", "ivar", "mask", "resolution_data"]:
            dump(f"spectra-{band}-{attribute}", getattr(spectra, attribute)[band])
    dump("spectra-targetid", spectra.fibermap["TARGETID"] - 39627000000000000)
    io.write_spectra(out("spectra.fits"), spectra)

    for name in ["psf", "psfboot"]:
        traces = read_xytraceset(path(f"{name}.fits"))
        wave = np.linspace(5800, 7600, 11)
        fibers = np.arange(50)
        dump(f"{name}-x", [traces.x_vs_wave(f, wave) for f in fibers])
        dump(f"{name}-y", [traces.y_vs_wave(f, wave) for f in fibers])
        if name == "psf":
            dump("psf-xsig", [traces.xsig_vs_wave(f, wave) for f in fibers])
            write_xytraceset(out("traces.fits"), traces)

    dump("raw-z1", fits.getdata(path("raw.fits.fz"), "Z1"))

    redshifts = fits.getdata(path("zbest.fits"), "REDSHIFTS")
    types = {name: redshifts.dtype[name].str for name in redshifts.dtype.names}
    assert types["TARGETID"] == ">i8" and types["Z"] == ">f8" and types["ZERR"] == ">f4" and types["ZWARN"] == ">i4"
    assert redshifts["COEFF"].shape == (4, 10) and list(redshifts["NCOEFF"]) == [10, 4, 5, 10]
    assert list(redshifts["SPECTYPE"]) == ["GALAXY", "QSO", "STAR", "GALAXY"]

    columns = [
        fits.Column("BITS", "11X", array=np.ones((2, 11), dtype=bool)),
        fits.Column("LIST", "PE()", array=np.array([[1.0], [2.0, 3.0]], dtype=object)),
        fits.Column("LONGLIST", "QJ()", array=np.array([[1], [2, 3]], dtype=object)),
        fits.Column("COMPLEX", "C", array=np.array([1 + 2j, 3])),
        fits.Column("DOUBLES", "2M", array=np.ones((2, 2), dtype=complex)),
        fits.Column("NAME", "5A", array=["ab", "abcde"]),
        fits.Column("NAMES", "30A", dim="(10,3)", array=np.array([["a", "b", "c"], ["d", "", "f"]])),
        fits.Column("U2", "I", bzero=2**15, array=np.array([0, 65535], dtype=np.uint16)),
        fits.Column("U4", "J", bzero=2**31, array=np.array([0, 2**32 - 1], dtype=np.uint32)),
        fits.Column("FLAG", "L", array=[True, False]),
        fits.Column("CUBE", "6D", dim="(2,3)", array=np.arange(12.0).reshape(2, 3, 2)),
        fits.Column("LAST", "K", array=[-1, 2**62]),
    ]
    fits.BinTableHDU.from_columns(columns, name="TYPES").writeto(out("types.fits"), checksum=True)

    print("desispec read and wrote every product")


if __name__ == "__main__":
    main()
