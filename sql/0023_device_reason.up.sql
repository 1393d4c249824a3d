-- Why somebody asks for another device, in their words, for the administrator who decides.
ALTER TABLE devices ADD COLUMN reason TEXT;
