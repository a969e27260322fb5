# PowerShell completion for aigc, generated from its commands

$AigcModels = @('builtin:text', 'builtin:image', 'qwen3:0.6b', 'qwen3:1.7b', 'qwen3:4b', 'qwen3:8b', 'qwen2.5:0.5b', 'qwen2.5:1.5b', 'smollm2:135m', 'smollm2:360m', 'smollm2:1.7b', 'smollm3:3b', 'tinyllama:1.1b', 'phi4-mini:3.8b', 'gemma3:270m', 'gemma3:1b', 'llama3.2:1b', 'gpt2', 'sd1.5', 'sdxl-turbo', 'flux-schnell')

$AigcCommands = [System.Collections.Hashtable]::new()
$AigcCommands[''] = @('chat', 'complete', 'image', 'finetune', 'show', 'grid', 'upscale', 'export', 'report', 'doctor', 'completion', 'models', 'config')
$AigcCommands['models'] = @('list', 'show', 'pull', 'rm', 'alias', 'fit')
$AigcCommands['config'] = @('list', 'get', 'set', 'unset', 'path')

$AigcOptions = [System.Collections.Hashtable]::new()
$AigcOptions[''] = '--version -h --help'
$AigcOptions['chat'] = '-m --model --device --dtype --base-url --yes --adapter --temperature --top-p --top-k --min-p --typical-p --repetition-penalty --presence-penalty --frequency-penalty --no-repeat-ngram-size --logit-bias --seed --max-new-tokens --min-new-tokens --stop --truncate --json -q --quiet -v --verbose --traceback -f --file -s --system --load -h --help'
$AigcOptions['complete'] = '-m --model --device --dtype --base-url --yes --adapter --temperature --top-p --top-k --min-p --typical-p --repetition-penalty --presence-penalty --frequency-penalty --no-repeat-ngram-size --logit-bias --seed --max-new-tokens --min-new-tokens --stop --truncate --json -q --quiet -v --verbose --traceback -f --file -s --system --raw --instruct -n -o --output --separator --num-beams --early-stopping --length-penalty -h --help'
$AigcOptions['image'] = '-m --model --device --dtype --adapter --controlnet --vae --embedding --cache --offload --compile --preview-decoder --yes --negative-prompt --width --height --steps --guidance-scale --scheduler --clip-skip --seed --transparent --background --variation --variation-seed --init-image --strength --mask --outpaint --control-image --control-scale --prompts -n --matrix --wildcards --batch-size --skip-bad --score --aesthetic --best-of --draft-steps --keep --min-score -o --output --filename --format --quality --overwrite --no-metadata --grid --webpage --preview --json -q --quiet -v --verbose --traceback --from -h --help'
$AigcOptions['finetune'] = '-m --model --device --dtype --yes --validation --test --val-split --test-split --raw --instruct --train-on --max-length --packing --skip-bad --mix --method --freeze-layers --train-layers --lora-rank --lora-alpha --lora-dropout --target-modules --from-scratch --vocab-size --continue --optimizer --learning-rate --schedule --warmup --decay --weight-decay --max-grad-norm --label-smoothing --gradient-checkpointing --epochs --max-steps --batch-size --gradient-accumulation-steps --eval-steps --save-steps --keep --early-stopping-patience --seed --samples --metric --metric-samples --max-eval-samples --max-new-tokens --image --resolution --flip --caption-dropout --train-text-encoder --min-snr-gamma --average --sample-prompt --sample-steps --sample-seed -o --output --config --dry-run --resume --overwrite --tensorboard --html --json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['show'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['grid'] = '-o --output --json -q --quiet -v --verbose --traceback --columns --cell --captions --no-captions --overwrite -h --help'
$AigcOptions['upscale'] = '-o --output --json -q --quiet -v --verbose --traceback --scale -m --model --tile --device --dtype --overwrite --skip-bad -h --help'
$AigcOptions['export'] = '--to -o --output --json -q --quiet -v --verbose --traceback -m --model --dtype --gguf-type --overwrite --yes -h --help'
$AigcOptions['report'] = '--json -q --quiet -v --verbose --traceback --html -h --help'
$AigcOptions['doctor'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['completion'] = '-h --help'
$AigcOptions['models'] = '-h --help'
$AigcOptions['models list'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['models show'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['models pull'] = '--json -q --quiet -v --verbose --traceback --yes -h --help'
$AigcOptions['models rm'] = '--json -q --quiet -v --verbose --traceback --yes -h --help'
$AigcOptions['models alias'] = '--json -q --quiet -v --verbose --traceback --remove -h --help'
$AigcOptions['models fit'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['config'] = '-h --help'
$AigcOptions['config list'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['config get'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['config set'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['config unset'] = '--json -q --quiet -v --verbose --traceback -h --help'
$AigcOptions['config path'] = '--json -q --quiet -v --verbose --traceback -h --help'

$AigcValues = [System.Collections.Hashtable]::new()
$AigcValues['chat|-m'] = 'model'
$AigcValues['chat|--model'] = 'model'
$AigcValues['chat|--device'] = 'words auto cpu cuda mps'
$AigcValues['chat|--dtype'] = 'words auto float32 bfloat16 float16'
$AigcValues['chat|--base-url'] = 'text'
$AigcValues['chat|--adapter'] = 'text'
$AigcValues['chat|--temperature'] = 'text'
$AigcValues['chat|--top-p'] = 'text'
$AigcValues['chat|--top-k'] = 'text'
$AigcValues['chat|--min-p'] = 'text'
$AigcValues['chat|--typical-p'] = 'text'
$AigcValues['chat|--repetition-penalty'] = 'text'
$AigcValues['chat|--presence-penalty'] = 'text'
$AigcValues['chat|--frequency-penalty'] = 'text'
$AigcValues['chat|--no-repeat-ngram-size'] = 'text'
$AigcValues['chat|--logit-bias'] = 'text'
$AigcValues['chat|--seed'] = 'text'
$AigcValues['chat|--max-new-tokens'] = 'text'
$AigcValues['chat|--min-new-tokens'] = 'text'
$AigcValues['chat|--stop'] = 'text'
$AigcValues['chat|--truncate'] = 'words oldest middle'
$AigcValues['chat|-f'] = 'file'
$AigcValues['chat|--file'] = 'file'
$AigcValues['chat|-s'] = 'text'
$AigcValues['chat|--system'] = 'text'
$AigcValues['chat|--load'] = 'file'
$AigcValues['complete|-m'] = 'model'
$AigcValues['complete|--model'] = 'model'
$AigcValues['complete|--device'] = 'words auto cpu cuda mps'
$AigcValues['complete|--dtype'] = 'words auto float32 bfloat16 float16'
$AigcValues['complete|--base-url'] = 'text'
$AigcValues['complete|--adapter'] = 'text'
$AigcValues['complete|--temperature'] = 'text'
$AigcValues['complete|--top-p'] = 'text'
$AigcValues['complete|--top-k'] = 'text'
$AigcValues['complete|--min-p'] = 'text'
$AigcValues['complete|--typical-p'] = 'text'
$AigcValues['complete|--repetition-penalty'] = 'text'
$AigcValues['complete|--presence-penalty'] = 'text'
$AigcValues['complete|--frequency-penalty'] = 'text'
$AigcValues['complete|--no-repeat-ngram-size'] = 'text'
$AigcValues['complete|--logit-bias'] = 'text'
$AigcValues['complete|--seed'] = 'text'
$AigcValues['complete|--max-new-tokens'] = 'text'
$AigcValues['complete|--min-new-tokens'] = 'text'
$AigcValues['complete|--stop'] = 'text'
$AigcValues['complete|--truncate'] = 'words oldest middle'
$AigcValues['complete|-f'] = 'file'
$AigcValues['complete|--file'] = 'file'
$AigcValues['complete|-s'] = 'text'
$AigcValues['complete|--system'] = 'text'
$AigcValues['complete|-n'] = 'text'
$AigcValues['complete|-o'] = 'file'
$AigcValues['complete|--output'] = 'file'
$AigcValues['complete|--separator'] = 'text'
$AigcValues['complete|--num-beams'] = 'text'
$AigcValues['complete|--length-penalty'] = 'text'
$AigcValues['image|-m'] = 'model'
$AigcValues['image|--model'] = 'model'
$AigcValues['image|--device'] = 'words auto cpu cuda mps'
$AigcValues['image|--dtype'] = 'words auto float32 bfloat16 float16'
$AigcValues['image|--adapter'] = 'text'
$AigcValues['image|--controlnet'] = 'file'
$AigcValues['image|--vae'] = 'file'
$AigcValues['image|--embedding'] = 'file'
$AigcValues['image|--preview-decoder'] = 'file'
$AigcValues['image|--negative-prompt'] = 'text'
$AigcValues['image|--width'] = 'text'
$AigcValues['image|--height'] = 'text'
$AigcValues['image|--steps'] = 'text'
$AigcValues['image|--guidance-scale'] = 'text'
$AigcValues['image|--scheduler'] = 'text'
$AigcValues['image|--clip-skip'] = 'text'
$AigcValues['image|--seed'] = 'text'
$AigcValues['image|--background'] = 'text'
$AigcValues['image|--variation'] = 'text'
$AigcValues['image|--variation-seed'] = 'text'
$AigcValues['image|--init-image'] = 'file'
$AigcValues['image|--strength'] = 'text'
$AigcValues['image|--mask'] = 'file'
$AigcValues['image|--outpaint'] = 'text'
$AigcValues['image|--control-image'] = 'file'
$AigcValues['image|--control-scale'] = 'text'
$AigcValues['image|--prompts'] = 'text'
$AigcValues['image|-n'] = 'text'
$AigcValues['image|--matrix'] = 'text'
$AigcValues['image|--wildcards'] = 'file'
$AigcValues['image|--batch-size'] = 'text'
$AigcValues['image|--score'] = 'text'
$AigcValues['image|--aesthetic'] = 'file'
$AigcValues['image|--best-of'] = 'text'
$AigcValues['image|--draft-steps'] = 'text'
$AigcValues['image|--keep'] = 'text'
$AigcValues['image|--min-score'] = 'text'
$AigcValues['image|-o'] = 'file'
$AigcValues['image|--output'] = 'file'
$AigcValues['image|--filename'] = 'text'
$AigcValues['image|--format'] = 'words png jpeg webp'
$AigcValues['image|--quality'] = 'text'
$AigcValues['image|--preview'] = 'words every final none'
$AigcValues['image|--from'] = 'file'
$AigcValues['finetune|-m'] = 'model'
$AigcValues['finetune|--model'] = 'model'
$AigcValues['finetune|--device'] = 'words auto cpu cuda mps'
$AigcValues['finetune|--dtype'] = 'words auto float32 bfloat16 float16'
$AigcValues['finetune|--validation'] = 'text'
$AigcValues['finetune|--test'] = 'text'
$AigcValues['finetune|--val-split'] = 'text'
$AigcValues['finetune|--test-split'] = 'text'
$AigcValues['finetune|--train-on'] = 'words completion all'
$AigcValues['finetune|--max-length'] = 'text'
$AigcValues['finetune|--method'] = 'words full freeze lora dora qlora'
$AigcValues['finetune|--freeze-layers'] = 'text'
$AigcValues['finetune|--train-layers'] = 'text'
$AigcValues['finetune|--lora-rank'] = 'text'
$AigcValues['finetune|--lora-alpha'] = 'text'
$AigcValues['finetune|--lora-dropout'] = 'text'
$AigcValues['finetune|--target-modules'] = 'text'
$AigcValues['finetune|--from-scratch'] = 'text'
$AigcValues['finetune|--vocab-size'] = 'text'
$AigcValues['finetune|--continue'] = 'text'
$AigcValues['finetune|--optimizer'] = 'words adamw muon sgd adafactor'
$AigcValues['finetune|--learning-rate'] = 'text'
$AigcValues['finetune|--schedule'] = 'words cosine linear constant wsd'
$AigcValues['finetune|--warmup'] = 'text'
$AigcValues['finetune|--decay'] = 'text'
$AigcValues['finetune|--weight-decay'] = 'text'
$AigcValues['finetune|--max-grad-norm'] = 'text'
$AigcValues['finetune|--label-smoothing'] = 'text'
$AigcValues['finetune|--epochs'] = 'text'
$AigcValues['finetune|--max-steps'] = 'text'
$AigcValues['finetune|--batch-size'] = 'text'
$AigcValues['finetune|--gradient-accumulation-steps'] = 'text'
$AigcValues['finetune|--eval-steps'] = 'text'
$AigcValues['finetune|--save-steps'] = 'text'
$AigcValues['finetune|--keep'] = 'text'
$AigcValues['finetune|--early-stopping-patience'] = 'text'
$AigcValues['finetune|--seed'] = 'text'
$AigcValues['finetune|--samples'] = 'text'
$AigcValues['finetune|--metric'] = 'words exact-match bleu chrf rouge-l accuracy'
$AigcValues['finetune|--metric-samples'] = 'text'
$AigcValues['finetune|--max-eval-samples'] = 'text'
$AigcValues['finetune|--max-new-tokens'] = 'text'
$AigcValues['finetune|--resolution'] = 'text'
$AigcValues['finetune|--caption-dropout'] = 'text'
$AigcValues['finetune|--min-snr-gamma'] = 'text'
$AigcValues['finetune|--average'] = 'text'
$AigcValues['finetune|--sample-prompt'] = 'text'
$AigcValues['finetune|--sample-steps'] = 'text'
$AigcValues['finetune|--sample-seed'] = 'text'
$AigcValues['finetune|-o'] = 'text'
$AigcValues['finetune|--output'] = 'text'
$AigcValues['finetune|--config'] = 'file'
$AigcValues['grid|-o'] = 'file'
$AigcValues['grid|--output'] = 'file'
$AigcValues['grid|--columns'] = 'text'
$AigcValues['grid|--cell'] = 'text'
$AigcValues['upscale|-o'] = 'file'
$AigcValues['upscale|--output'] = 'file'
$AigcValues['upscale|--scale'] = 'text'
$AigcValues['upscale|-m'] = 'file'
$AigcValues['upscale|--model'] = 'file'
$AigcValues['upscale|--tile'] = 'text'
$AigcValues['upscale|--device'] = 'words auto cpu cuda mps'
$AigcValues['upscale|--dtype'] = 'words auto float32 bfloat16 float16'
$AigcValues['export|--to'] = 'words merged adapter gguf'
$AigcValues['export|-o'] = 'file'
$AigcValues['export|--output'] = 'file'
$AigcValues['export|-m'] = 'model'
$AigcValues['export|--model'] = 'model'
$AigcValues['export|--dtype'] = 'words auto float32 bfloat16 float16'
$AigcValues['export|--gguf-type'] = 'words f16 bf16 q8_0'
$AigcValues['report|--html'] = 'file'

$AigcArguments = [System.Collections.Hashtable]::new()
$AigcArguments['chat|1'] = 'text'
$AigcArguments['complete|1'] = 'text'
$AigcArguments['image|1'] = 'text'
$AigcArguments['finetune|*'] = 'text'
$AigcArguments['show|*'] = 'file'
$AigcArguments['grid|*'] = 'file'
$AigcArguments['upscale|*'] = 'file'
$AigcArguments['export|1'] = 'file'
$AigcArguments['report|1'] = 'file'
$AigcArguments['completion|1'] = 'words bash zsh fish powershell'
$AigcArguments['models show|1'] = 'model'
$AigcArguments['models pull|1'] = 'model'
$AigcArguments['models rm|1'] = 'model'
$AigcArguments['models alias|1'] = 'text'
$AigcArguments['models alias|2'] = 'model'
$AigcArguments['models fit|1'] = 'model'
$AigcArguments['config get|1'] = 'words model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout'
$AigcArguments['config set|1'] = 'words model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout'
$AigcArguments['config set|2'] = 'setting'
$AigcArguments['config unset|1'] = 'words model image_model device dtype system temperature top_p top_k min_p repetition_penalty max_new_tokens truncate base_url api_key_env timeout'

$AigcSettings = [System.Collections.Hashtable]::new()
$AigcSettings['dtype'] = 'words auto float32 bfloat16 float16'
$AigcSettings['truncate'] = 'words oldest middle'
$AigcSettings['device'] = 'words auto cpu cuda mps'
$AigcSettings['model'] = 'model'

function Get-AigcAlias {
    $folder = if ($env:AIGC_HOME) { Join-Path ($env:AIGC_HOME -replace '^~', $HOME) 'config' }
        elseif ($IsMacOS) { Join-Path $HOME 'Library/Application Support/aigc' }
        elseif ($IsLinux -and $env:XDG_CONFIG_HOME) { Join-Path $env:XDG_CONFIG_HOME 'aigc' }
        elseif ($IsLinux) { Join-Path $HOME '.config/aigc' }
        else { Join-Path $env:LOCALAPPDATA 'aigc' }
    $file = Join-Path $folder 'config.toml'
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) { return }
    $table = ''
    foreach ($line in Get-Content -LiteralPath $file -Encoding UTF8) {
        if ($line -match '^\s*\[(.*?)\]') { $table = $Matches[1] }
        elseif ($table -eq 'aliases' -and $line -match '^\s*([^#=]+?)\s*=') { $Matches[1].Trim('"', "'") }
    }
}

Register-ArgumentCompleter -Native -CommandName aigc -ScriptBlock {
    param($current, $ast, $cursor)

    $path = ''
    $option = ''
    $count = 0
    $last = ''
    foreach ($element in $ast.CommandElements | Select-Object -Skip 1) {
        if ($element.Extent.EndOffset -ge $cursor) { break }
        $word = $element.Extent.Text
        if ($option) { $option = '' }
        elseif ($word -like '-*') { if ($AigcValues.ContainsKey("$path|$word")) { $option = "$path|$word" } }
        elseif ($AigcCommands["$path"] -contains $word) { $path = "$path $word".Trim() }
        else { $count++; $last = $word }
    }

    $kind = if ($option) { $AigcValues[$option] }
        elseif ($current -like '-*') { 'words ' + $AigcOptions[$path] }
        elseif ($AigcCommands[$path]) { 'words ' + ($AigcCommands[$path] -join ' ') }
        elseif ($AigcArguments["$path|*"]) { $AigcArguments["$path|*"] }
        else { $AigcArguments["$path|$($count + 1)"] }
    if ($kind -eq 'setting') { $kind = $AigcSettings[$last] }

    # nothing returned leaves it to PowerShell, which completes files
    $names = if ($kind -like 'words *') { $kind.Substring(6) -split ' ' }
        elseif ($kind -eq 'model') { $AigcModels + @(Get-AigcAlias) }
    $names | Where-Object { $_ -and $_.StartsWith($current) } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
