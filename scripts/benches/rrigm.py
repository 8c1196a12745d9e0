"""rrigm.py FOLDER OUT: copies of redrock's template files with the keyword RRIGM, which today's redrock wants; what the files
meant before they had it: quasars of version 1.1 absorb by Kamble et al. (2020), the others not at all."""
import pathlib, shutil, sys
import fitsio

folder, out = map(pathlib.Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)
for source in sorted(folder.glob("rrtemplate-*.fits")):
    copy = shutil.copy(source, out)
    with fitsio.FITS(copy, "rw") as fits:
        if "RRIGM" not in fits["BASIS_VECTORS"].read_header():
            fits["BASIS_VECTORS"].write_key("RRIGM", "Kamble20" if "-QSO-" in source.name else "None")
