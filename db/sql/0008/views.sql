-- Sweeps that came as an archive. The hash is that of the archive's spec and tables.
CREATE VIEW v_imports AS
SELECT sweep_id, content_sha256, imported_at FROM imports;

GRANT SELECT ON v_imports TO alignsweep_reader;
